package imageservice

import (
	"archive/tar"
	"fmt"
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
}

// charge takes what an entry needs, or says that the image has no more room.
func (l *layerAllowance) charge(hdr *tar.Header) error {
	if l == nil || l.all.max == 0 {
		return nil
	}
	blocks := max(hdr.Size, 0)/diskBlock + 1
	if blocks > l.all.max/diskBlock {
		return l.refusal()
	}
	l.mine += blocks * diskBlock
	if l.all.used.Add(blocks*diskBlock) > l.all.max {
		return l.refusal()
	}
	return nil
}

func (l *layerAllowance) refusal() error {
	return fmt.Errorf("the image takes more than %d bytes unpacked, which image.max_unpacked_size allows", l.all.max)
}

// giveBack returns what the layer took, for another try.
func (l *layerAllowance) giveBack() {
	if l != nil {
		l.all.used.Add(-l.mine)
		l.mine = 0
	}
}
