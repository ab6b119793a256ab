package main

import (
	"context"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/snapshots"

	"github.com/berth-run/berth/config"
	"github.com/berth-run/berth/engine"
	"github.com/berth-run/berth/imageservice"
	"github.com/berth-run/berth/internal/treesize"
)

// written measures what a container has written: its writable layer, and the volumes that its image declares. To the
// kubelet both are what the container itself has written.
type written struct {
	client  *containerd.Client
	volumes volumes
}

// usage measures the container whose writable layer is the snapshot key.
func (w written) usage(ctx context.Context, snapshotter, key string) (bytes, inodes uint64, err error) {
	u, err := imageservice.LayerUsage(engine.Context(ctx), w.client.SnapshotService(snapshotter), key)
	if err != nil {
		return 0, 0, err
	}
	v, err := w.volumes.usage(ctx, key)
	return uint64(max(u.Size+v.Size, 0)), uint64(max(u.Inodes+v.Inodes, 0)), err
}

// volumes measures the volumes that the image of a container declares.
type volumes struct{ paths config.Paths }

func (v volumes) usage(ctx context.Context, id string) (snapshots.Usage, error) {
	if !fullID.MatchString(id) { // the snapshot is another client's
		return snapshots.Usage{}, nil
	}
	size, err := treesize.Of(ctx, v.paths.ContainerVolumes(id))
	return snapshots.Usage{Size: size.Bytes, Inodes: size.Inodes}, err
}

// mountpoint is the file system that writable layers lie on; the daemon's root when that cannot be found out.
func (d *daemon) mountpoint(string) string {
	info, err := d.images.FsInfo(d.feedCtx)
	if err != nil {
		return d.config.Root
	}
	return info.Containers.Mountpoint
}
