package container

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"
	"golang.org/x/sys/unix"

	"github.com/berth-run/berth/container/spec"
	"github.com/berth-run/berth/engine"
	"github.com/berth-run/berth/internal/budget"
	"github.com/berth-run/berth/internal/copyup"
	"github.com/berth-run/berth/internal/inside"
)

// fillVolumes copies what the image has at the places of its volumes, as users of
// VOLUME expect. It needs the image mounted, for as long as the copy takes.
func (m *Manager) fillVolumes(ctx context.Context, n *creation) error {
	key := volumesView(n.Container)
	mounts, err := m.Images.PrepareImageMount(ctx, n.image, key)
	if err != nil {
		return fmt.Errorf("fill the volumes of the image: %w", err)
	}
	defer m.dropView(ctx, key)
	return mount.WithReadonlyTempMount(engine.Context(ctx), mounts, func(root string) error {
		return fillFrom(ctx, root, n.out.Volumes)
	})
}

// volumeSource is a directory of the image that a volume gets a copy of.
type volumeSource struct {
	volume spec.Volume
	path   string // of the directory itself: no component is a link
}

// fillFrom copies the directories of the mounted image. A directory that a volume has got already may be copied
// into others too, but only as far as the budget for that goes: links, and volumes within volumes, would make
// an image of a few megabytes as large as it likes.
func fillFrom(ctx context.Context, root string, volumes []spec.Volume) error {
	top, err := inside.Top(root)
	if err != nil {
		return err
	}
	defer top.Close()
	sources, err := volumeSources(top, volumes)
	if err != nil {
		return err
	}
	once := copyup.Room{Bytes: math.MaxInt64, Entries: math.MaxInt64}
	again := copyup.Room{Bytes: budget.VolumeBytes, Entries: budget.VolumeEntries}
	var copied string // the last directory that was not in one before
	for i, s := range sources {
		room := &again
		if i == 0 || s.path != copied && !strings.HasPrefix(s.path, copied+"/") {
			copied, room = s.path, &once
		}
		if err := fillVolume(ctx, top, s.volume, room); err != nil {
			return fmt.Errorf("fill the volume of the image at %s: %w", s.volume.ContainerPath, err)
		}
	}
	return nil
}

// volumeSources finds the directories that the image has at the places of the volumes, each directory directly before
// the directories in it.
func volumeSources(top *os.File, volumes []spec.Volume) ([]volumeSource, error) {
	var sources []volumeSource
	for _, v := range volumes {
		src, err := openVolume(top, v)
		if err != nil {
			return nil, fmt.Errorf("look for the volume of the image at %s: %w", v.ContainerPath, err)
		}
		if src == nil {
			continue
		}
		path, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", src.Fd()))
		src.Close()
		if err != nil {
			return nil, fmt.Errorf("look for the volume of the image at %s: %w", v.ContainerPath, err)
		}
		sources = append(sources, volumeSource{v, path})
	}
	slices.SortFunc(sources, func(a, b volumeSource) int {
		// A slash sorts before everything else, so that no sibling comes between a directory and those in it.
		return slices.CompareFunc(strings.Split(a.path, "/"), strings.Split(b.path, "/"), cmp.Compare[string])
	})
	return sources, nil
}

// openVolume opens the directory of the image at the place of a volume, nil where it has none. Links on the way to it
// lead inside the image.
func openVolume(top *os.File, v spec.Volume) (*os.File, error) {
	src, err := inside.InRoot(top, v.ContainerPath)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil, nil
	}
	return src, err
}

// fillVolume copies a directory of the image into a volume.
func fillVolume(ctx context.Context, top *os.File, v spec.Volume, room *copyup.Room) error {
	src, err := openVolume(top, v)
	if err != nil || src == nil {
		return err
	}
	defer src.Close()
	dst, err := os.Open(v.HostPath)
	if err != nil {
		return err
	}
	defer dst.Close()
	return copyup.Tree(ctx, dst, src, room)
}
