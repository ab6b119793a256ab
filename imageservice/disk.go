package imageservice

import (
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// disk is the file system that the layers of a pull are written to.
type disk struct {
	mu  sync.Mutex
	dir *os.File
}

// note remembers a directory on the file system.
func (d *disk) note(path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dir != nil {
		return nil
	}
	var err error
	d.dir, err = os.Open(path)
	return err
}

// sync puts everything that was written on the disk. It comes once, before the
// image records: until they are there, a start after a power loss throws away
// what the pull had done, so the layers need not be synced one by one.
func (d *disk) sync() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dir == nil {
		return nil
	}
	if err := unix.Syncfs(int(d.dir.Fd())); err != nil {
		return fmt.Errorf("syncing the unpacked layers to disk (%s): %w", d.dir.Name(), err)
	}
	return nil
}

func (d *disk) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dir != nil {
		d.dir.Close()
		d.dir = nil
	}
}
