package metrics

import (
	"errors"
	"fmt"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// Filesystem is what holds writable layers.
type Filesystem struct {
	// Device is what is mounted ("/dev/sda1"), Number its "major:minor".
	Device, Number string
	// Bytes is its size.
	Bytes uint64
}

// filesystemReader asks the kernel. It remembers what is mounted where, by the number of the device:
// a node with a hundred pods has a thousand mounts to look through.
type filesystemReader struct {
	mounted map[string]mounted // by directory
}

type mounted struct {
	number uint64
	device string
}

func (r *filesystemReader) read(dir string) (Filesystem, error) {
	var fs unix.Statfs_t
	var st unix.Stat_t
	if err := errors.Join(unix.Statfs(dir, &fs), unix.Stat(dir, &st)); err != nil {
		return Filesystem{}, fmt.Errorf("look at the filesystem of %s: %w", dir, err)
	}
	f := Filesystem{
		Number: fmt.Sprintf("%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev)),
		Bytes:  fs.Blocks * uint64(fs.Bsize),
	}
	m, known := r.mounted[dir]
	if !known || m.number != st.Dev {
		device, err := mountedAt(dir)
		if err != nil {
			return f, err
		}
		m = mounted{st.Dev, device}
		r.mounted[dir] = m
	}
	f.Device = m.device
	return f, nil
}

// mountedAt finds what is mounted where a directory is.
func mountedAt(dir string) (device string, err error) {
	mounts, err := mountinfo.GetMounts(mountinfo.ParentsFilter(dir))
	if err != nil {
		return "", fmt.Errorf("find the mount of %s: %w", dir, err)
	}
	longest := -1
	for _, m := range mounts {
		// The last of several on one another is the one that is seen.
		if n := len(m.Mountpoint); n >= longest {
			longest, device = n, m.Source
		}
	}
	return device, nil
}

// filesystems describes what holds the containers' layers, anew when that is old.
func (s *Sampler) filesystems(p *pass) {
	if time.Since(s.fsAt) > slowAge {
		s.fsAt, s.fs = time.Now(), map[string]*Filesystem{}
	}
	for _, c := range p.containers {
		if c.layer == nil || c.layer.Mountpoint == "" {
			continue
		}
		dir := c.layer.Mountpoint
		if _, known := s.fs[dir]; !known {
			f, err := s.opts.Filesystem(dir)
			if err != nil {
				s.errors.count("filesystem", err)
			}
			s.fs[dir] = &f
		}
		c.fs = s.fs[dir]
	}
}
