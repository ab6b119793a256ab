package container

import (
	"fmt"
	"sync"

	"github.com/containerd/errdefs"

	"github.com/berth-run/berth/internal/budget"
)

// userCache keeps the user files of images by image ID, within budget.UserFilesKept bytes.
type userCache struct {
	mu      sync.Mutex
	byImage map[string]cachedFS
	size    int
}

// cachedFile is what reading a file came to.
type cachedFile struct {
	content []byte
	err     error
}

// cachedFS answers users.Lookup from memory.
type cachedFS map[string]cachedFile

// ReadFile implements users.FS.
func (f cachedFS) ReadFile(path string, _ int64) ([]byte, error) {
	file, ok := f[path]
	if !ok {
		return nil, fmt.Errorf("%s: %w", path, errdefs.ErrNotFound)
	}
	return file.content, file.err
}

// size is how many bytes the files hold, with what keeping them takes besides.
func (f cachedFS) size() int {
	n := 1 << 10
	for _, file := range f {
		n += cap(file.content)
	}
	return n
}

func (c *userCache) get(imageID string) (cachedFS, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	files, ok := c.byImage[imageID]
	return files, ok
}

// put keeps the files of an image. Files that are too large are read each time, and a full cache starts anew:
// with files of the usual size, the images of a node fit many times over.
func (c *userCache) put(imageID string, files cachedFS) {
	size := files.size()
	if size > budget.UserFilesKeptEach {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.byImage[imageID]; ok {
		return
	}
	if c.byImage == nil || c.size+size > budget.UserFilesKept {
		c.byImage, c.size = map[string]cachedFS{}, 0
	}
	c.byImage[imageID] = files
	c.size += size
}
