package imageservice

import (
	"archive/tar"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync/atomic"
)

// diskBlock is what file systems give out space in; an entry takes one at least, for its inode and name.
const diskBlock = 4096

// allowance is how many bytes the layers of an image may still take on disk, side by side. It is charged by what
// the archive says of each entry, before the entry is written: a file with holes is written without them.
type allowance struct {
	max  int64 // 0 is no bound
	used atomic.Int64
}

// layer is the part of the allowance that one layer takes.
func (a *allowance) layer() *layerAllowance { return &layerAllowance{all: a} }

// layerAllowance is used by one goroutine at a time; nil is no bound.
type layerAllowance struct {
	all  *allowance
	mine int64
	dir  string // of the last entry
}

// charge takes what an entry needs, or says that the image has no more room.
func (l *layerAllowance) charge(hdr *tar.Header) error {
	if l == nil || l.all.max == 0 {
		return nil
	}
	blocks := max(hdr.Size, 0)/diskBlock + 1 + l.directories(hdr.Name)
	if blocks > l.all.max/diskBlock {
		return l.refusal()
	}
	l.mine += blocks * diskBlock
	if l.all.used.Add(blocks*diskBlock) > l.all.max {
		return l.refusal()
	}
	return nil
}

// directories is how many directories an entry may bring along without entries of their own: those on the way to
// it that were not on the way to the entry before. Archives list a directory's content together, so that this
// comes close to the directories that there are.
func (l *layerAllowance) directories(name string) int64 {
	dir, _ := filepath.Split(name)
	last := l.dir
	l.dir = dir
	common := 0
	for common < len(dir) && common < len(last) && dir[common] == last[common] {
		common++
	}
	return int64(strings.Count(dir[common:], "/"))
}

func (l *layerAllowance) refusal() error {
	return fmt.Errorf("the image takes more than %d bytes unpacked, which image.max_unpacked_size allows", l.all.max)
}

// archive bounds the bytes of the layer's archive by what its files may take: padding after the last entry, and headers
// between entries, cost time and are not charged.
func (l *layerAllowance) archive(r io.Reader) io.Reader {
	if l == nil || l.all.max == 0 {
		return r
	}
	return &boundedArchive{r: r, left: l.all.max, refusal: l.refusal}
}

// boundedArchive reads so many bytes and then refuses.
type boundedArchive struct {
	r       io.Reader
	left    int64
	refusal func() error
}

// Read implements io.Reader.
func (b *boundedArchive) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, b.refusal()
	}
	return n, err
}

// giveBack returns what the layer took, for another try.
func (l *layerAllowance) giveBack() {
	if l != nil {
		l.all.used.Add(-l.mine)
		l.mine = 0
	}
}
