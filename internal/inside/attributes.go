package inside

import (
	"errors"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// CopyAttributes gives the directory or file to the owner, mode and extended attributes of from. Attributes
// in the trusted namespace stay behind: overlayfs keeps its own notes there.
func CopyAttributes(to, from *os.File) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(from.Fd()), &st); err != nil {
		return &os.PathError{Op: "stat", Path: from.Name(), Err: err}
	}
	if err := to.Chown(int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	// The mode comes after the owner: a change of owner takes bits from the mode.
	if err := unix.Fchmod(int(to.Fd()), st.Mode&0o7777); err != nil {
		return &os.PathError{Op: "chmod", Path: to.Name(), Err: err}
	}
	names, err := attributes(from)
	if errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	if err != nil {
		return &os.PathError{Op: "list the attributes of", Path: from.Name(), Err: err}
	}
	for _, name := range names {
		if err := copyAttribute(to, from, name); err != nil {
			return &os.PathError{Op: "copy attribute " + name + " to", Path: to.Name(), Err: err}
		}
	}
	return nil
}

// CopyAttributesOf gives the extended attributes of an entry of the directory from to the entry of the same name
// of the directory to, for entries that cannot be opened: symbolic links, devices, named pipes. Links are not
// followed. Attributes in the trusted namespace stay behind, and attributes in the user namespace do not exist on them.
func CopyAttributesOf(to, from *os.File, name string) error {
	src, dst := entryPath(from, name), entryPath(to, name)
	list, err := sized(func(b []byte) (int, error) { return unix.Llistxattr(src, b) })
	if errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	if err != nil {
		return &os.PathError{Op: "list the attributes of", Path: name, Err: err}
	}
	for attribute := range strings.SplitSeq(string(list), "\x00") {
		if attribute == "" || strings.HasPrefix(attribute, "trusted.") {
			continue
		}
		value, err := sized(func(b []byte) (int, error) { return unix.Lgetxattr(src, attribute, b) })
		if err == nil {
			err = unix.Lsetxattr(dst, attribute, value, 0)
		}
		if err != nil {
			return &os.PathError{Op: "copy attribute " + attribute + " to", Path: name, Err: err}
		}
	}
	return nil
}

// entryPath is a path of a directory's entry that leads through the directory's descriptor.
func entryPath(dir *os.File, name string) string {
	return "/proc/self/fd/" + strconv.Itoa(int(dir.Fd())) + "/" + name
}

// attributes lists the extended attributes of a file but for those in the trusted namespace.
func attributes(f *os.File) ([]string, error) {
	buf, err := sized(func(b []byte) (int, error) { return unix.Flistxattr(int(f.Fd()), b) })
	var out []string
	for name := range strings.SplitSeq(string(buf), "\x00") {
		if name != "" && !strings.HasPrefix(name, "trusted.") {
			out = append(out, name)
		}
	}
	return out, err
}

func copyAttribute(to, from *os.File, name string) error {
	value, err := sized(func(b []byte) (int, error) { return unix.Fgetxattr(int(from.Fd()), name, b) })
	if err != nil {
		return err
	}
	return unix.Fsetxattr(int(to.Fd()), name, value, 0)
}

// sized calls a function of the kernel first without and then with room for its answer. The kernel bounds
// the answer, XATTR_SIZE_MAX and XATTR_LIST_MAX, to 64 KiB.
func sized(call func([]byte) (int, error)) ([]byte, error) {
	for range retries {
		n, err := call(nil)
		if err != nil || n == 0 {
			return nil, err
		}
		buf := make([]byte, n)
		n, err = call(buf)
		if errors.Is(err, unix.ERANGE) {
			continue // it grew meanwhile
		}
		if err != nil {
			return nil, err
		}
		return buf[:n], nil
	}
	return nil, unix.EAGAIN
}
