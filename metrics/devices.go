package metrics

import (
	"os"
	"path/filepath"
	"sync"
)

// deviceNames knows block devices' names by number. A number keeps its name until
// it is given out again, which the link's new target shows only after a restart: device
// numbers are hardly ever given out again on a node.
type deviceNames struct {
	dir   string
	mu    sync.Mutex
	names map[string]string
}

// name gives "sda" for "8:0", or the number itself when it is not known.
func (d *deviceNames) name(dev string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n, ok := d.names[dev]; ok {
		return n
	}
	n := dev
	if target, err := os.Readlink(filepath.Join(d.dir, dev)); err == nil {
		n = filepath.Base(target)
		d.names[dev] = n
	}
	return n
}
