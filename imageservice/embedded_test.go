package imageservice

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/berth-run/berth/engine"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
)

// newEmbeddedNode is newNode with containerd inside this process.
func newEmbeddedNode(t *testing.T, opts Options) *node {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: containerd unpacks layers into overlayfs snapshots")
	}
	n := &node{t: t, dir: t.TempDir()}
	n.certs = filepath.Join(n.dir, "certs.d")
	sock, err := os.MkdirTemp("", "bie")
	check(t, err)
	t.Cleanup(func() { os.RemoveAll(sock) })
	n.address = filepath.Join(sock, "c.sock")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	e, err := engine.Open(ctx, engine.Options{
		Root: filepath.Join(n.dir, "root"), State: filepath.Join(n.dir, "state"), Address: n.address, ShimSockets: sock,
	})
	check(t, err)
	t.Cleanup(func() {
		e.Close()
		// Containerd moves the place of temporary mounts for the whole process.
		check(t, mount.SetTempMountLocation(os.TempDir()))
	})
	n.client, n.ctx = e.Client, engine.Context(t.Context())
	n.svc = n.service(opts)
	return n
}

// The same code on containerd in this process: pull, follow, remove, nothing left.
func TestEmbedded(t *testing.T) {
	reg := newRegistry(t)
	reg.push(t, "a:1", imageOf(t, 50, 5, 300_000))
	reg.push(t, "odd:1", oddImage(t))
	n := newEmbeddedNode(t, Options{})
	n.mirror("registry.example", reg.URL)
	img := n.mustPull("registry.example/a:1")
	checkFiles(t, n, img, 5)
	odd := n.mustPull("registry.example/odd:1")
	// Over the socket, another process's view.
	n.ctr("images", "tag", "registry.example/a:1", "registry.example/b:2")
	eventually(t, "the new tag", func() bool { return n.has("registry.example/b:2") })
	n.ctr("images", "rm", "registry.example/a:1")
	eventually(t, "the tag is gone", func() bool { return !n.has("registry.example/a:1") })
	eventually(t, "usage", func() bool {
		i, err := n.svc.FsInfo(t.Context())
		return err == nil && i.Images.UsedBytes > 0 && i.Images.Mountpoint != ""
	})
	if _, err := n.pull("registry.example/none:1"); !errdefs.IsNotFound(err) {
		t.Error(err)
	}
	check(t, n.svc.Remove(t.Context(), img.ID))
	check(t, n.svc.Remove(t.Context(), odd.ID))
	n.clean()
}

// Without any configuration a registry on localhost is reached by plain HTTP.
func TestLocalhostWithoutConfiguration(t *testing.T) {
	reg := newRegistry(t)
	reg.push(t, "a:1", imageOf(t, 51, 1, 1000))
	n := newNode(t, Options{})
	n.mustPull(reg.host() + "/a:1")
}
