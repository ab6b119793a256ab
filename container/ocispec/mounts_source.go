package ocispec

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// sourceMode is the mode of a directory that is made where a bind source is missing, as containerd
// and CRI-O make it.
const sourceMode = 0o755

// source is the host path with its links followed, or the directory of an image mount with its
// sub path. A host path that does not exist becomes a directory: Output.Directories names it.
func (b *builder) source(i int, m *runtimeapi.Mount) (string, error) {
	if m.GetImage().GetImage() != "" {
		return b.imageSource(i, m)
	}
	resolved, err := b.fs.Resolve(m.GetHostPath())
	if err == nil {
		return resolved, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("resolving the bind source %s: %w", m.GetHostPath(), notDirectory(err))
	}
	missing, err := b.missing(path.Clean(m.GetHostPath()))
	if err != nil {
		return "", fmt.Errorf("the bind source %s does not exist on this node: %w", m.GetHostPath(), err)
	}
	b.out.Directories = append(b.out.Directories, missing)
	return missing, nil
}

// missing is the path at which a directory can be made for a host path that does not exist: the part
// that exists has its links followed. A link without a target is refused, as containerd and CRI-O
// refuse it: a directory cannot take the link's place, and nobody asked for one at its target.
func (b *builder) missing(hostPath string) (string, error) {
	for dir, rest := path.Dir(hostPath), path.Base(hostPath); ; dir, rest = path.Dir(dir), path.Join(path.Base(dir), rest) {
		first, below, _ := strings.Cut(rest, "/")
		if _, err := b.fs.Lstat(path.Join(dir, first)); err == nil {
			// Another container's creation may have made it meanwhile.
			if resolved, err := b.fs.Resolve(path.Join(dir, first)); err == nil {
				return path.Join(resolved, below), nil
			}
			return "", fmt.Errorf("%s is a symbolic link to something that does not exist: %w", path.Join(dir, first), errdefs.ErrNotFound)
		}
		resolved, err := b.fs.Resolve(dir)
		if err == nil {
			return path.Join(resolved, rest), nil
		}
		if !errors.Is(err, fs.ErrNotExist) || dir == "/" {
			return "", notDirectory(err)
		}
	}
}

// notDirectory classifies a path below something that is no directory as not found.
func notDirectory(err error) error {
	if errors.Is(err, unix.ENOTDIR) {
		return fmt.Errorf("%w: %w", err, errdefs.ErrNotFound)
	}
	return err
}

// makeSource makes the directory of a missing bind source. Whatever came to be there meanwhile, a
// socket for instance, is as good.
func makeSource(dir string) error {
	err := os.MkdirAll(dir, sourceMode)
	if err == nil {
		return nil
	}
	if _, exists := os.Lstat(dir); exists == nil {
		return nil
	}
	return fmt.Errorf("make the directory %s for a mount whose host path is missing: %w", dir, err)
}

// inRoot is a path of the container, absolute and clean: a relative one begins at the root, as runc
// takes it.
func inRoot(p string) string { return path.Join("/", p) }
