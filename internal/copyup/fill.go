package copyup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/berth-run/berth/internal/budget"
	"github.com/berth-run/berth/internal/inside"
)

// Volume is a directory of the host that stands for a directory of an image.
type Volume struct {
	// Path is the volume's place as the image declares it: absolute and clean.
	Path string
	// HostPath is the directory that is filled. It exists, is empty, and nobody else writes there.
	HostPath string
}

// Fill copies into the volumes what the image, whose content is below the directory root, has at their
// places. Links on the way to a place lead inside the image. A volume is left empty if the image has no directory there.
//
// The map names, by HostPath, each volume whose content is in the directory of another volume: that directory
// is to be mounted for both. The error is the context's, one of the file system, or a refusal because volumes
// overlap too much (errdefs.ErrResourceExhausted, see budget.VolumeBytes); what was copied until then stays.
func Fill(ctx context.Context, root string, volumes []Volume) (map[string]string, error) {
	top, err := inside.Top(root)
	if err != nil {
		return nil, err
	}
	defer top.Close()
	var places []place
	for _, v := range volumes {
		at, ok, err := find(top, v.Path)
		if err != nil {
			return nil, fmt.Errorf("find the volume of the image at %s: %w", v.Path, err)
		}
		if ok {
			places = append(places, place{v, at})
		}
	}
	shared := map[string]string{}
	c := newCopying(ctx, &Room{Bytes: budget.VolumeBytes, Entries: budget.VolumeEntries})
	for _, s := range plan(places) {
		for _, v := range s.volumes[1:] {
			shared[v.HostPath] = s.volumes[0].HostPath
		}
		if err := c.fill(top, s); err != nil {
			return nil, fmt.Errorf("fill the volume of the image at %s: %w", s.volumes[0].Path, err)
		}
	}
	return shared, nil
}

// find resolves a path in the image to the path of a directory that has no links. It is false if the image
// has no directory there.
func find(top *os.File, name string) (string, bool, error) {
	dir, err := inside.InRoot(top, name)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	defer dir.Close()
	base, err := pathOf(top)
	if err != nil {
		return "", false, err
	}
	full, err := pathOf(dir)
	if err != nil {
		return "", false, err
	}
	return strings.TrimPrefix(strings.TrimPrefix(full, base), "/"), true, nil
}

// pathOf is where the kernel says that an open directory is.
func pathOf(dir *os.File) (string, error) {
	return os.Readlink(fmt.Sprintf("/proc/self/fd/%d", dir.Fd()))
}

// fill makes the copy of one source.
func (c *copying) fill(top *os.File, s *source) error {
	name := s.at
	if name == "" {
		name = "."
	}
	from, err := inside.Beneath(top, name)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(s.volumes[0].HostPath, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer to.Close()
	c.covered, c.again = s.covered, s.again
	return c.tree(to, from)
}

func newCopying(ctx context.Context, room *Room) *copying {
	return &copying{ctx: ctx, room: room, links: newLinks()}
}
