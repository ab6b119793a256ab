package metrics

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strconv"

	"golang.org/x/sys/unix"
)

// pageSize is what the kernel's files deliver at a time: a read that gave less was the last.
const pageSize = 4096

// files reads the kernel's small files into one buffer that is used again for
// each: a pass over a full node opens several thousand of them. wire is another one, for who encodes.
type files struct {
	buf     []byte
	wire    []byte
	handles *handles // nil keeps no directory open
	net     netReader
}

// read gives the content of dir/name, valid until the next read. A cgroup that
// is removed meanwhile gives fs.ErrNotExist.
func (f *files) read(dir *directory, name string) ([]byte, error) {
	if dir == nil {
		return nil, fs.ErrNotExist
	}
	if f.buf == nil {
		f.buf = make([]byte, 4*pageSize)
	}
	at, path := f.handles.get(dir), name
	if at == 0 {
		at, path = unix.AT_FDCWD, dir.path+"/"+name
	}
	fd, err := unix.Openat(at, path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, dir.fail("open", name, err)
	}
	defer unix.Close(fd)
	n := 0
	for {
		if n == len(f.buf) {
			f.buf = append(f.buf, make([]byte, len(f.buf))...)
		}
		m, err := unix.Read(fd, f.buf[n:])
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.ENODEV):
			return nil, fs.ErrNotExist
		case err != nil:
			return nil, dir.fail("read", name, err)
		case m == 0 || m+n < pageSize:
			return f.buf[:n+m], nil
		default:
			n += m
		}
	}
}

// fail spares the common case, a file that is not there, a message that nobody reads.
func (d *directory) fail(op, name string, err error) error {
	if errors.Is(err, unix.ENOENT) {
		return fs.ErrNotExist
	}
	return &fs.PathError{Op: op, Path: d.path + "/" + name, Err: err}
}

// value reads a file that holds one number; "max" is math.MaxUint64.
func (f *files) value(dir *directory, name string) (uint64, error) {
	b, err := f.read(dir, name)
	if err != nil {
		return 0, err
	}
	v, err := number(bytes.TrimSpace(b))
	if err != nil {
		return 0, fmt.Errorf("%s/%s: %w", dir.path, name, err)
	}
	return v, nil
}

// optional is value for a file that not every kernel or configuration has.
func (f *files) optional(dir *directory, name string) (uint64, error) {
	v, err := f.value(dir, name)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	return v, err
}

// limit is optional for a limit, where 0 then means none.
func (f *files) limit(dir *directory, name string) (uint64, error) {
	v, err := f.optional(dir, name)
	if v >= unlimited {
		return 0, err
	}
	return v, err
}

// keyed calls fn for each line "key value" of a file.
func (f *files) keyed(dir *directory, name string, fn func(key []byte, value uint64)) error {
	b, err := f.read(dir, name)
	if err != nil {
		return err
	}
	for len(b) > 0 {
		var line []byte
		line, b, _ = bytes.Cut(b, []byte{'\n'})
		key, val, ok := bytes.Cut(line, []byte{' '})
		if !ok {
			continue
		}
		v, err := number(val)
		if err != nil {
			return fmt.Errorf("%s/%s: line %q: %w", dir.path, name, line, err)
		}
		fn(key, v)
	}
	return nil
}

// number parses without making a string. "max" is math.MaxUint64.
func number(b []byte) (uint64, error) {
	if string(b) == "max" {
		return math.MaxUint64, nil
	}
	if len(b) == 0 {
		return 0, errors.New("empty where a number is expected")
	}
	var v uint64
	for _, c := range b {
		if c < '0' || c > '9' || v > (math.MaxUint64-9)/10 {
			// The slow way has the right error, and the few values at the very top.
			return strconv.ParseUint(string(b), 10, 64)
		}
		v = v*10 + uint64(c-'0')
	}
	return v, nil
}

// vanished tells whether an error only says that there is nothing to read.
func vanished(err error) bool {
	return err == nil || errors.Is(err, fs.ErrNotExist)
}
