package container

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"

	"github.com/berth-run/berth/container/spec"
	"github.com/berth-run/berth/container/users"
	"github.com/berth-run/berth/engine"
	"github.com/berth-run/berth/imageservice"
	"github.com/berth-run/berth/sandbox"
)

// userFiles are the files that users and groups are looked up in. They belong to
// the image, which never changes, so they are read once per image.
var userFiles = []string{"/etc/passwd", "/etc/group"}

// userCacheSize is how many images' files are kept.
const userCacheSize = 256

// userCache keeps the user files of images by image ID.
type userCache struct {
	mu      sync.Mutex
	byImage map[string]cachedFS
}

type cachedFile struct {
	content []byte
	err     error
}

// cachedFS answers users.Lookup from memory.
type cachedFS map[string]cachedFile

// ReadFile implements users.FS.
func (f cachedFS) ReadFile(path string, _ int64) ([]byte, error) {
	file, ok := f[path]
	if !ok {
		return nil, fmt.Errorf("%s: %w", path, errdefs.ErrNotFound)
	}
	return file.content, file.err
}

// resolveUser finds the user and groups the container runs as.
func (m *Manager) resolveUser(ctx context.Context, n *creation) (users.Resolved, error) {
	want := spec.UserSpec(n.Config, n.Pod.Config, spec.Image{Name: n.imageName(), Config: n.image.Config.Config})
	if !users.NeedsFiles(want) {
		return users.Lookup(nil, want)
	}
	files, err := m.userFilesOf(ctx, n.image, n.Snapshotter)
	if err != nil {
		return users.Resolved{}, fmt.Errorf("read the users of image %s: %w", n.image.Name(), err)
	}
	return users.Lookup(files, want)
}

func (m *Manager) userFilesOf(ctx context.Context, image *imageservice.Image, snapshotter string) (cachedFS, error) {
	m.users.mu.Lock()
	files, ok := m.users.byImage[image.ID]
	m.users.mu.Unlock()
	if ok {
		return files, nil
	}
	files, err := m.readUserFiles(ctx, image)
	if err != nil {
		return nil, err
	}
	m.users.mu.Lock()
	defer m.users.mu.Unlock()
	if m.users.byImage == nil || len(m.users.byImage) >= userCacheSize {
		m.users.byImage = map[string]cachedFS{}
	}
	m.users.byImage[image.ID] = files
	return files, nil
}

// readUserFiles reads the files from the image's layers, through a view that
// lives no longer than the reading, and without mounting it where the layers can
// be read as they are.
func (m *Manager) readUserFiles(ctx context.Context, image *imageservice.Image) (cachedFS, error) {
	key := "users-" + sandbox.NewID()
	mounts, err := m.Images.PrepareImageMount(ctx, image, key)
	if err != nil {
		return nil, err
	}
	defer m.dropView(ctx, key)
	root, err := users.Open(mounts)
	if errdefs.IsNotImplemented(err) {
		return m.readMounted(ctx, mounts)
	}
	if err != nil {
		return nil, err
	}
	defer root.Close()
	files, err := read(root)
	if errdefs.IsNotImplemented(err) { // a layer that only overlayfs itself can read
		return m.readMounted(ctx, mounts)
	}
	return files, err
}

// readMounted is for snapshotters whose layers are no directories.
func (m *Manager) readMounted(ctx context.Context, mounts []mount.Mount) (cachedFS, error) {
	var files cachedFS
	err := mount.WithReadonlyTempMount(engine.Context(ctx), mounts, func(dir string) error {
		root, err := users.OpenMounted(dir)
		if err != nil {
			return err
		}
		defer root.Close()
		files, err = read(root)
		return err
	})
	return files, err
}

// read keeps what does not change with the next try: contents, that there is no such file,
// and that what there is cannot be used.
func read(root users.FS) (cachedFS, error) {
	files := cachedFS{}
	for _, path := range userFiles {
		content, err := root.ReadFile(path, users.MaxFileSize)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errdefs.IsNotFound(err) && !errdefs.IsInvalidArgument(err) {
			return nil, err
		}
		files[path] = cachedFile{content, err}
	}
	return files, nil
}
