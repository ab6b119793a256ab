package container

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/berth-run/berth/container/users"
	"github.com/berth-run/berth/internal/budget"
)

// TestUserCache: however many images there are and however large their files, what is kept of them is bounded, and
// goes with the image.
func TestUserCache(t *testing.T) {
	var c userCache
	files := func(size int) *userFS {
		return &userFS{files: map[string]userFile{"/etc/passwd": {content: make([]byte, size)}}}
	}
	c.put("large", files(budget.UserFilesKeptEach+1))
	if _, ok := c.get("large"); ok {
		t.Error("files larger than an image may keep are kept")
	}
	for n := range 10 * budget.UserFilesKept / (100 << 10) {
		id := fmt.Sprint(n)
		c.put(id, files(100<<10))
		c.put(id, files(100<<10))
		if _, ok := c.get(id); !ok {
			t.Fatalf("the files of image %s are not kept", id)
		}
		held := 0
		for _, f := range c.byImage {
			held += f.size()
		}
		if held > budget.UserFilesKept || held != c.size {
			t.Fatalf("%d bytes are kept and %d counted, of %d at most", held, c.size, budget.UserFilesKept)
		}
	}
	for n := range 10 * budget.UserFilesKept / (100 << 10) {
		c.drop(fmt.Sprint(n))
	}
	if len(c.byImage) > 0 || c.size != 0 {
		t.Errorf("when all images are gone, %d bytes of %d of them are kept", c.size, len(c.byImage))
	}
}

// imageFS is an image's root that counts what is read from it.
type imageFS struct {
	files map[string]string
	read  int64
}

func (f *imageFS) Open(path string, limit int64) (io.ReadCloser, error) {
	body, ok := f.files[path]
	if !ok || int64(len(body)) > limit {
		return nil, errors.New("not there, or too large")
	}
	return io.NopCloser(io.TeeReader(strings.NewReader(body), (*counter)(&f.read))), nil
}

type counter int64

func (c *counter) Write(p []byte) (int, error) { *c += counter(len(p)); return len(p), nil }

// TestLargeUserFilesAreNotHeld: of a file that is too large to be kept, no more is read into memory than of
// one that is kept; it is answered from all the same.
func TestLargeUserFilesAreNotHeld(t *testing.T) {
	long := string(bytes.Repeat([]byte("g:x:7:other\n"), budget.UserFile/12-10))
	image := &imageFS{files: map[string]string{"/etc/passwd": "app:x:5:6:::\n", "/etc/group": long + "last:x:77:app\n"}}
	files, err := readSmall(image)
	if err != nil || files.large == nil {
		t.Fatalf("%+v, %v", files, err)
	}
	if image.read > 2*budget.UserFilesKeptEach || files.size() > 2*budget.UserFilesKeptEach {
		t.Errorf("%d bytes were read, %d are held", image.read, files.size())
	}
	got, err := users.Lookup(t.Context(), files, users.UserSpec{User: "app"})
	if err != nil || fmt.Sprint(got.AdditionalGIDs) != "[6 77]" {
		t.Errorf("got %+v, %v", got, err)
	}
	var c userCache
	c.put("image", files)
	if _, ok := c.get("image"); ok {
		t.Error("a view of the image is kept, which is closed after the call")
	}
}
