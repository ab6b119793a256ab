package imageservice

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
)

// snapshotters are all that images may be unpacked to.
func (a *accounting) snapshotters() []string {
	names := []string{a.s.opts.Snapshotter}
	seen := map[string]bool{"": true, a.s.opts.Snapshotter: true}
	for _, sn := range a.s.opts.RuntimeHandlers {
		if !seen[sn] {
			seen[sn] = true
			names = append(names, sn)
		}
	}
	return names
}

// imageFS is where the default snapshotter keeps its files, as containerd tells.
func (a *accounting) imageFS(ctx context.Context) (string, error) {
	if a.s.opts.ImageFSPath != "" {
		return a.s.opts.ImageFSPath, nil
	}
	a.mu.Lock()
	root := a.roots[a.s.opts.Snapshotter]
	a.mu.Unlock()
	if root != "" {
		return root, nil
	}
	resp, err := a.s.client.IntrospectionService().Plugins(ctx, fmt.Sprintf("type==io.containerd.snapshotter.v1,id==%s", a.s.opts.Snapshotter))
	if err != nil {
		return "", fmt.Errorf("asking containerd for the root of snapshotter %s: %w", a.s.opts.Snapshotter, err)
	}
	for _, p := range resp.Plugins {
		root = p.Exports["root"]
	}
	if root == "" {
		return "", fmt.Errorf("containerd does not tell the root of snapshotter %s, configure the image file system path: %w", a.s.opts.Snapshotter, errdefs.ErrNotFound)
	}
	a.mu.Lock()
	a.roots[a.s.opts.Snapshotter] = root
	a.mu.Unlock()
	return root, nil
}
