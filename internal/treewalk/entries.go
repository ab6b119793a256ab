package treewalk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// entry is the name of the directory's next entry but for "." and ".."; false at the end.
func (l *level) entry() (name string, ok bool, err error) {
	for {
		if len(l.rest) == 0 {
			n, err := unix.Getdents(int(l.dir.Fd()), l.buf)
			if errors.Is(err, unix.ENOENT) || err == nil && n == 0 { // it was removed, or has no more
				return "", false, nil
			}
			if err != nil {
				return "", false, &os.PathError{Op: "read the directory", Path: l.dir.Name(), Err: err}
			}
			l.rest = l.buf[:n]
		}
		if name = l.cut(); name != "." && name != ".." {
			return name, true, nil
		}
	}
}

// cut takes the first entry from what was read: struct linux_dirent64 of getdents64(2).
func (l *level) cut() (name string) {
	const offset, length, text = 8, 16, 19
	l.next = int64(binary.NativeEndian.Uint64(l.rest[offset:]))
	size := binary.NativeEndian.Uint16(l.rest[length:])
	raw, _, _ := bytes.Cut(l.rest[text:size], []byte{0})
	l.rest = l.rest[size:]
	return string(raw)
}
