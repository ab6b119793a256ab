package container

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"

	"github.com/berth-run/berth/container/spec"
	"github.com/berth-run/berth/container/users"
	"github.com/berth-run/berth/engine"
	"github.com/berth-run/berth/imageservice"
	"github.com/berth-run/berth/internal/budget"
	"github.com/berth-run/berth/sandbox"
)

// userFiles are the files that users and groups are looked up in. They belong to
// the image, which never changes, so what was read can be kept.
var userFiles = []string{"/etc/passwd", "/etc/group"}

// resolveUser finds the user and groups the container runs as.
func (m *Manager) resolveUser(ctx context.Context, n *creation) (users.Resolved, error) {
	want := spec.UserSpec(n.Config, n.Pod.Config, spec.Image{Name: n.imageName(), Config: n.image.Config.Config})
	if !users.NeedsFiles(want) {
		return users.Lookup(nil, want)
	}
	files, err := m.userFilesOf(ctx, n.image)
	if err != nil {
		return users.Resolved{}, fmt.Errorf("read the users of image %s: %w", n.image.Name(), err)
	}
	return users.Lookup(files, want)
}

func (m *Manager) userFilesOf(ctx context.Context, image *imageservice.Image) (cachedFS, error) {
	if files, ok := m.users.get(image.ID); ok {
		return files, nil
	}
	files, err := m.readUserFiles(ctx, image)
	if err == nil {
		m.users.put(image.ID, files)
	}
	return files, err
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
		content, err := root.ReadFile(path, budget.UserFile)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errdefs.IsNotFound(err) && !errdefs.IsInvalidArgument(err) {
			return nil, err
		}
		files[path] = cachedFile{content, err}
	}
	return files, nil
}
