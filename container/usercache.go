package container

import (
	"bytes"
	"fmt"
	"io"
	"sync"

	"github.com/berth-run/berth/container/users"
	"github.com/berth-run/berth/internal/budget"
)

// userCache keeps the user files of images by image ID, within budget.UserFilesKept bytes.
type userCache struct {
	mu      sync.Mutex
	byImage map[string]*userFS
	size    int
}

// userFile is what opening a file came to.
type userFile struct {
	content []byte
	err     error
}

// userFS answers users.Lookup from memory, and for large files from the image.
type userFS struct {
	files map[string]userFile
	large users.FS // has the files that are not in memory; nil where all are
}

// Open implements users.FS.
func (f *userFS) Open(path string, limit int64) (io.ReadCloser, error) {
	file, ok := f.files[path]
	switch {
	case !ok && f.large != nil:
		return f.large.Open(path, limit)
	case !ok:
		return nil, fmt.Errorf("%s was not read from the image", path)
	case file.err != nil:
		return nil, file.err
	}
	return io.NopCloser(bytes.NewReader(file.content)), nil
}

// size is how many bytes the files hold, with what keeping them takes besides.
func (f *userFS) size() int {
	n := 1 << 10
	for _, file := range f.files {
		n += cap(file.content)
	}
	return n
}

func (c *userCache) get(imageID string) (*userFS, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	files, ok := c.byImage[imageID]
	return files, ok
}

// put keeps the files of an image. Files that are too large are read each time, and a full cache starts anew:
// with files of the usual size, the images of a node fit many times over.
func (c *userCache) put(imageID string, files *userFS) {
	size := files.size()
	if files.large != nil || size > budget.UserFilesKeptEach {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.byImage[imageID]; ok {
		return
	}
	if c.byImage == nil || c.size+size > budget.UserFilesKept {
		c.byImage, c.size = map[string]*userFS{}, 0
	}
	c.byImage[imageID] = files
	c.size += size
}

// drop forgets the files of an image that is gone.
func (c *userCache) drop(imageID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if files, ok := c.byImage[imageID]; ok {
		c.size -= files.size()
		delete(c.byImage, imageID)
	}
}
