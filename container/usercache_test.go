package container

import (
	"fmt"
	"testing"

	"github.com/berth-run/berth/internal/budget"
)

// TestUserCache: however many images there are and however large their files, what is kept of them is bounded.
func TestUserCache(t *testing.T) {
	var c userCache
	files := func(size int) cachedFS { return cachedFS{"/etc/passwd": {content: make([]byte, size)}} }
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
}
