package imageservice

import (
	"archive/tar"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// smallFiles writes the small regular files of a layer, of which images have ten thousands, while
// containerd's archive package does everything else. That one finds its way to each file anew from the
// root, a dozen times; from the file's directory, held open, it is one step each. Whatever is not
// plain is left to it: links on the way, a file that is there already, extended attributes, holes.
type smallFiles struct {
	layer *tarStream
	root  int // O_PATH descriptor of the layer's directory
	// dir is the directory of the last file, held open as parent. When it is removed meanwhile, nothing can
	// be made in it any more, and the next file is not plain.
	dir    string
	parent int // 0 while there is none
	buf    []byte
}

const (
	// smallFile is the size up to which a file is written at once.
	smallFile = 1 << 20
	// Records of a header that ask for more than a plain file.
	xattrRecord  = "SCHILY.xattr."
	sparseRecord = "GNU.sparse."
)

func newSmallFiles(dir string, layer *tarStream) (*smallFiles, error) {
	root, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	return &smallFiles{layer: layer, root: root}, nil
}

func (s *smallFiles) close() {
	s.leave()
	_ = unix.Close(s.root)
}

// filter implements archive.Filter: it leaves an entry to the caller, or has made it.
func (s *smallFiles) filter(hdr *tar.Header) (leave bool, err error) {
	dir, base := filepath.Split(hdr.Name)
	if !plain(hdr, base) || !s.layer.atContent() || !s.enter(filepath.Clean(dir)) {
		return true, nil
	}
	fd, err := unix.Openat(s.parent, base, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return true, nil // it is there already, or its directory is gone
	}
	f := os.NewFile(uintptr(fd), hdr.Name)
	err = s.fill(f, hdr)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return false, err
	}
	mtime := unix.NsecToTimespec(hdr.ModTime.UnixNano())
	atime := mtime
	if hdr.AccessTime.After(hdr.ModTime) {
		atime = unix.NsecToTimespec(hdr.AccessTime.UnixNano())
	}
	if err := unix.UtimesNanoAt(s.parent, base, []unix.Timespec{atime, mtime}, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return false, &os.PathError{Op: "set the times of", Path: hdr.Name, Err: err}
	}
	return false, nil
}

// fill writes content, owner and mode, which the change of the owner can take bits from.
func (s *smallFiles) fill(f *os.File, hdr *tar.Header) error {
	if int64(len(s.buf)) < hdr.Size {
		s.buf = make([]byte, max(hdr.Size, 64<<10))
	}
	content := s.buf[:hdr.Size]
	if err := s.layer.take(content); err != nil {
		return err
	}
	if _, err := f.Write(content); err != nil {
		return err
	}
	if err := f.Chown(hdr.Uid, hdr.Gid); err != nil {
		return err
	}
	return f.Chmod(hdr.FileInfo().Mode())
}

// plain tells whether an entry is a file that needs nothing special.
func plain(hdr *tar.Header, base string) bool {
	if hdr.Typeflag != tar.TypeReg || hdr.Size > smallFile || strings.HasPrefix(base, whiteout) ||
		base == "" || base == "." || base == ".." || !usual(hdr.ModTime) || !hdr.AccessTime.IsZero() && !usual(hdr.AccessTime) {
		return false
	}
	for key := range hdr.PAXRecords {
		if strings.HasPrefix(key, xattrRecord) || strings.HasPrefix(key, sparseRecord) {
			return false
		}
	}
	return true
}

// usual leaves out times that do not fit, which others know how to bound.
func usual(t time.Time) bool { return t.Unix() >= 0 && t.Unix() < 1<<33 }

// enter opens a directory of the layer, unless there is none or a link on the way to it.
func (s *smallFiles) enter(dir string) bool {
	if s.parent != 0 && s.dir == dir {
		return true
	}
	s.leave()
	fd, err := unix.Openat2(s.root, dir, &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return false
	}
	s.dir, s.parent = dir, fd
	return true
}

func (s *smallFiles) leave() {
	if s.parent != 0 {
		_ = unix.Close(s.parent)
		s.parent = 0
	}
}
