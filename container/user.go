package container

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"

	"github.com/berth-run/berth/container/ocispec"
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
	want := ocispec.UserSpec(n.Config, n.Pod.Config, ocispec.Image{Name: n.imageName(), Config: n.image.Config.Config})
	if !users.NeedsFiles(want) {
		return users.Lookup(ctx, nil, want)
	}
	if files, ok := m.users.get(n.image.ID); ok {
		return users.Lookup(ctx, files, want)
	}
	var out users.Resolved
	var lookup error
	err := m.withUserFiles(ctx, n.image, func(root users.FS) error {
		files, err := readSmall(root)
		if err != nil {
			return err
		}
		m.keepUsers(n.image.ID, files)
		out, lookup = m.lookup(ctx, files, want)
		if errdefs.IsNotImplemented(lookup) {
			return lookup
		}
		return nil
	})
	if err != nil {
		return users.Resolved{}, fmt.Errorf("read the users of image %s: %w", n.image.Name(), err)
	}
	return out, lookup
}

// keepUsers keeps what was read, unless the image went meanwhile.
func (m *Manager) keepUsers(imageID string, files *userFS) {
	m.users.put(imageID, files)
	if _, err := m.Images.Status(imageID); err != nil {
		m.users.drop(imageID)
	}
}

// lookup looks a user up. If that needs files which are too large for memory, it waits until few others read such files.
func (m *Manager) lookup(ctx context.Context, files *userFS, want users.UserSpec) (users.Resolved, error) {
	if files.large != nil {
		if err := m.largeUsers.Acquire(ctx, 1); err != nil {
			return users.Resolved{}, fmt.Errorf("wait for others that read large user files: %w", err)
		}
		defer m.largeUsers.Release(1)
	}
	return users.Lookup(ctx, files, want)
}

// withUserFiles calls use with the image's root, through a view that lives no longer than the call, and without
// mounting it where the layers can be read as they are. It may call use a second time.
func (m *Manager) withUserFiles(ctx context.Context, image *imageservice.Image, use func(users.FS) error) error {
	key := "users-" + sandbox.NewID()
	mounts, err := m.Images.PrepareImageMount(ctx, image, key)
	if err != nil {
		return err
	}
	defer m.dropView(ctx, key)
	root, err := users.Open(mounts)
	if err == nil {
		defer root.Close()
		err = use(root)
	}
	if !errdefs.IsNotImplemented(err) {
		return err
	}
	// The layers are no directories, or only overlayfs itself can read one of them.
	return mount.WithReadonlyTempMount(engine.Context(ctx), mounts, func(dir string) error {
		root, err := users.OpenMounted(dir)
		if err != nil {
			return err
		}
		defer root.Close()
		return use(root)
	})
}

// readSmall reads the files into memory that are small enough to be kept. It keeps what does not change with the next
// try: contents, that there is no such file, and that what there is cannot be used.
func readSmall(root users.FS) (*userFS, error) {
	out := &userFS{files: map[string]userFile{}}
	for _, path := range userFiles {
		content, err := readHead(root, path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errdefs.IsNotFound(err) && !errdefs.IsInvalidArgument(err) {
			return nil, err
		}
		if len(content) > budget.UserFilesKeptEach {
			out.large = root
			continue
		}
		out.files[path] = userFile{content, err}
	}
	return out, nil
}

// readHead reads a file, but no more of it than one byte beyond what may be kept.
func readHead(root users.FS, path string) ([]byte, error) {
	file, err := root.Open(path, budget.UserFile)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, budget.UserFilesKeptEach+1))
}
