package rootfs

import (
	"fmt"
	"strings"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// settings are mount options that are not the file system's own business.
type settings struct {
	flags uintptr
	ids   *IDMap // nil: owners stay as they are
}

// parse tells flags from what is the file system's own business.
func parse(options []string) (s settings, data []string, err error) {
	var ids IDMap
	for _, o := range options {
		name, value, _ := strings.Cut(o, "=")
		switch name {
		case "loop":
			return s, nil, fmt.Errorf("mount option %q is not known here: %w", o, errdefs.ErrInvalidArgument)
		case "uidmap":
			ids.UIDs, err = parseIDs(value)
		case "gidmap":
			ids.GIDs, err = parseIDs(value)
		}
		if err != nil {
			return s, nil, err
		}
		if name == "uidmap" || name == "gidmap" {
			continue
		}
		set, clear, ok := flag(o)
		if !ok {
			data = append(data, o)
			continue
		}
		s.flags = s.flags&^clear | set
	}
	if ids.UIDs != nil && ids.GIDs != nil {
		s.ids = &ids
	}
	return s, data, nil
}

// flag is what an option sets and clears.
func flag(option string) (set, clear uintptr, ok bool) {
	switch option {
	case "", "defaults":
		return 0, 0, true
	case "bind":
		return unix.MS_BIND, 0, true
	case "rbind":
		return unix.MS_BIND | unix.MS_REC, 0, true
	case "remount":
		return unix.MS_REMOUNT, 0, true
	case "private", "shared", "slave", "unbindable":
		return shared(option), 0, true
	case "rprivate", "rshared", "rslave", "runbindable":
		return shared(option[1:]) | unix.MS_REC, 0, true
	case "strictatime":
		return unix.MS_STRICTATIME, 0, true
	}
	for _, f := range []struct {
		on, off string
		bit     uintptr
	}{
		{"ro", "rw", unix.MS_RDONLY}, {"nosuid", "suid", unix.MS_NOSUID}, {"nodev", "dev", unix.MS_NODEV},
		{"noexec", "exec", unix.MS_NOEXEC}, {"sync", "async", unix.MS_SYNCHRONOUS},
		{"dirsync", "nodirsync", unix.MS_DIRSYNC}, {"mand", "nomand", unix.MS_MANDLOCK},
		{"noatime", "atime", unix.MS_NOATIME}, {"nodiratime", "diratime", unix.MS_NODIRATIME},
		{"relatime", "norelatime", unix.MS_RELATIME},
	} {
		switch option {
		case f.on:
			return f.bit, 0, true
		case f.off:
			return 0, f.bit, true
		}
	}
	return 0, 0, false
}

func shared(kind string) uintptr {
	switch kind {
	case "shared":
		return unix.MS_SHARED
	case "slave":
		return unix.MS_SLAVE
	case "unbindable":
		return unix.MS_UNBINDABLE
	}
	return unix.MS_PRIVATE
}
