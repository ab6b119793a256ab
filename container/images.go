package container

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/klog/v2"
)

// imageMounts lists the mounts of the request that are images (CRI Mount.image). The error says which image is not there.
func (m *Manager) imageMounts(n *creation) ([]ImageMount, error) {
	var out []ImageMount
	for i, mnt := range n.Config.GetMounts() {
		if mnt.GetImage().GetImage() == "" {
			continue
		}
		image, err := m.Images.Resolve(mnt.GetImage())
		if err != nil {
			return nil, fmt.Errorf("mounts[%d].image: %w", i, err)
		}
		out = append(out, ImageMount{
			Index: i, ImageID: image.ID, Key: n.ID + "-image-" + strconv.Itoa(i), Snapshotter: n.Snapshotter,
		})
	}
	return out, nil
}

// reportedMounts are the mounts of the request, each image with the digest of what is mounted
// (CRI ImageSpec.image_ref, KEP-5365); c.mu is held.
func (c *Container) reportedMounts() []*runtimeapi.Mount {
	mounts := c.Config.GetMounts()
	if len(c.record.ImageMounts) == 0 {
		return mounts
	}
	mounts = slices.Clone(mounts)
	for _, im := range c.record.ImageMounts {
		if im.Index >= len(mounts) {
			continue
		}
		m := proto.Clone(mounts[im.Index]).(*runtimeapi.Mount)
		m.Image.ImageRef = im.ImageID
		mounts[im.Index] = m
	}
	return mounts
}

func (m *Manager) imageMountDir(c *Container, index int) string {
	return filepath.Join(m.paths.Container(c.ID), "image-"+strconv.Itoa(index))
}

// imageMountDirs says where the images are mounted, by the index of the mount.
func (m *Manager) imageMountDirs(c *Container) map[int]string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if len(c.record.ImageMounts) == 0 {
		return nil
	}
	out := map[int]string{}
	for _, im := range c.record.ImageMounts {
		out[im.Index] = m.imageMountDir(c, im.Index)
	}
	return out
}

// mountImages mounts read-only views of the images, so that the spec can bind
// them, or a part of them, into the container.
func (m *Manager) mountImages(ctx context.Context, c *Container) error {
	for _, im := range c.record.ImageMounts {
		image, err := m.Images.Resolve(&runtimeapi.ImageSpec{Image: im.ImageID})
		if err != nil {
			return fmt.Errorf("mounts[%d].image: %w", im.Index, err)
		}
		mounts, err := m.Images.PrepareImageMount(ctx, image, im.Key)
		if err != nil {
			return fmt.Errorf("mounts[%d].image: %w", im.Index, err)
		}
		dir := m.imageMountDir(c, im.Index)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("mounts[%d].image: %w", im.Index, err)
		}
		if err := mount.All(mounts, dir); err != nil {
			return fmt.Errorf("mounts[%d].image: mount %s: %w", im.Index, image.Name(), err)
		}
	}
	return nil
}

func (m *Manager) unmountImages(ctx context.Context, c *Container) error {
	c.mu.RLock()
	list := c.record.ImageMounts
	c.mu.RUnlock()
	for _, im := range list {
		dir := m.imageMountDir(c, im.Index)
		if err := mount.UnmountAll(dir, unix.MNT_DETACH); err != nil && !os.IsNotExist(err) {
			return fmt.Errorf("unmount the image of mounts[%d]: %w", im.Index, err)
		}
		if err := m.Images.RemoveImageMount(ctx, im.Key); err != nil {
			return fmt.Errorf("remove the view of the image of mounts[%d]: %w", im.Index, err)
		}
	}
	return nil
}

// dropView removes a view that was needed for a moment only. Where containerd is away,
// that is done when it is back; a daemon that ends before leaves it to the next one.
func (m *Manager) dropView(ctx context.Context, key string) {
	err := m.Images.RemoveImageMount(context.WithoutCancel(ctx), key)
	if err == nil {
		return
	}
	klog.FromContext(ctx).Error(err, "Cannot remove a view of an image; trying again", "view", key)
	m.running.Go(func() {
		for err != nil {
			select {
			case <-time.After(unrecordedPause):
			case <-m.ctx.Done():
				return
			}
			err = m.Images.RemoveImageMount(m.ctx, key)
		}
	})
}
