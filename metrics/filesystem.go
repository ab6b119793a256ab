package metrics

import (
	"fmt"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// Filesystem is what holds writable layers.
type Filesystem struct {
	// Device is what is mounted ("/dev/sda1").
	Device string
	// Bytes is its size; Inodes and InodesFree are 0 where it has no such number.
	Bytes, Inodes, InodesFree uint64
}

// statFilesystem asks the kernel.
func statFilesystem(dir string) (Filesystem, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return Filesystem{}, fmt.Errorf("look at the filesystem of %s: %w", dir, err)
	}
	f := Filesystem{Bytes: st.Blocks * uint64(st.Bsize), Inodes: st.Files, InodesFree: st.Ffree}
	mounts, err := mountinfo.GetMounts(mountinfo.ParentsFilter(dir))
	if err != nil {
		return f, fmt.Errorf("find the mount of %s: %w", dir, err)
	}
	longest := -1
	for _, m := range mounts {
		// The last of several on one another is the one that is seen.
		if n := len(m.Mountpoint); n >= longest {
			longest, f.Device = n, m.Source
		}
	}
	return f, nil
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
