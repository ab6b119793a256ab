package imageservice

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"go.uber.org/goleak"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// ctr runs containerd's own client against the node.
func (n *node) ctr(args ...string) string {
	n.t.Helper()
	cmd := exec.Command(binary(n.t, "ctr"), append([]string{"--address", n.address, "-n", "k8s.io"}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		n.t.Fatalf("ctr %v: %v\n%s", args, err, out)
	}
	return string(out)
}

func (n *node) has(ref string) bool {
	_, err := n.svc.Status(ref)
	return err == nil
}

func TestImagesOfOtherTools(t *testing.T) {
	n := newNode(t, Options{})
	img := imageOf(t, 30, 2, 10_000)
	tag, err := name.NewTag("registry.example/imported:1")
	check(t, err)
	file := filepath.Join(t.TempDir(), "i.tar")
	check(t, tarball.WriteToFile(file, tag, img))

	n.ctr("images", "import", "--no-unpack", file)
	eventually(t, "the imported image is listed", func() bool { return n.has("registry.example/imported:1") })
	got, err := n.svc.Status("registry.example/imported:1")
	check(t, err)
	if want, _ := img.ConfigName(); got.ID != want.String() || len(got.RepoDigests) != 1 {
		t.Errorf("imported: %+v", got)
	}
	sn := n.client.SnapshotService("overlayfs")
	if _, err := sn.Stat(n.ctx, got.ChainID); !errdefs.IsNotFound(err) {
		t.Fatalf("unpacked already: %v", err)
	}
	check(t, n.svc.EnsureUnpacked(t.Context(), got, ""))
	check(t, n.svc.EnsureUnpacked(t.Context(), got, "overlayfs"))
	checkFiles(t, n, got, 2)

	n.ctr("images", "tag", "registry.example/imported:1", "registry.example/other:2")
	eventually(t, "the new tag", func() bool { return n.has("registry.example/other:2") })
	n.ctr("images", "label", "registry.example/other:2", pinnedLabel+"=pinned")
	eventually(t, "the label", func() bool { i, _ := n.svc.Status("registry.example/other:2"); return i.Pinned })
	n.ctr("images", "rm", "registry.example/imported:1")
	eventually(t, "the tag is gone", func() bool { return !n.has("registry.example/imported:1") })
	n.ctr("images", "rm", "--sync", "registry.example/other:2")
	eventually(t, "the image is gone", func() bool { return len(n.svc.List(nil)) == 0 })
	n.clean()
}

func TestRecover(t *testing.T) {
	reg := newRegistry(t)
	reg.push(t, "a:1", imageOf(t, 31, 2, 1000))
	reg.push(t, "b:1", imageOf(t, 32, 2, 1000))
	n := newNode(t, Options{})
	n.mirror("registry.example", reg.URL)
	a, b := n.mustPull("registry.example/a:1"), n.mustPull("registry.example/b:1")
	check(t, n.svc.Close())
	if _, err := n.pull("registry.example/a:1"); !errdefs.IsUnavailable(err) {
		t.Errorf("pull after Close: %v", err)
	}
	// What a killed daemon leaves: a lease.
	_, err := n.client.LeasesService().Create(n.ctx, leases.WithID("berth-pull-old"), leases.WithLabels(map[string]string{leaseLabel: "pull x"}))
	check(t, err)
	// An image that cannot be read does not stand in the way of the others.
	check(t, n.client.ContentStore().Delete(n.ctx, b.Manifest.Digest))

	n.svc = n.service(Options{PinnedImages: []string{"registry.example/a:1"}})
	got := n.svc.List(nil)
	if len(got) != 1 || got[0].ID != a.ID || !got[0].Pinned || got[0].Size != a.Size {
		t.Errorf("recovered %+v", got)
	}
	if l := n.svc.List(&runtimeapi.ImageFilter{Image: &runtimeapi.ImageSpec{Image: "registry.example/none:1"}}); l == nil || len(l) != 0 {
		t.Errorf("filter without a match: %v", l)
	}
	ls, err := n.client.LeasesService().List(n.ctx)
	if err != nil || len(ls) != 0 {
		t.Errorf("leases %v, %v", ls, err)
	}
	again := n.mustPull("registry.example/b:1") // heals
	if again.ID != b.ID {
		t.Errorf("pulled again: %s", again.ID)
	}
}

func TestContainerdRestarts(t *testing.T) {
	reg := newRegistry(t)
	reg.push(t, "a:1", imageOf(t, 33, 1, 1000))
	n := newNode(t, Options{})
	n.mirror("registry.example", reg.URL)
	img := n.mustPull("registry.example/a:1")
	f := &follower{s: n.svc}
	check(t, f.subscribe(n.ctx))
	f.cancel() // as when the connection breaks
	if err := f.follow(n.ctx); err == nil {
		t.Error("a broken stream went unnoticed")
	}
	if !f.resubscribe(n.ctx) {
		t.Error("not subscribed again")
	}
	f.cancel()
	if !n.has(img.ID) {
		t.Error("image lost")
	}
}

func TestFsInfo(t *testing.T) {
	reg := newRegistry(t)
	reg.push(t, "a:1", imageOf(t, 34, 2, 500_000))
	n := newNode(t, Options{UsageMaxAge: 1})
	n.mirror("registry.example", reg.URL)
	empty, err := n.svc.FsInfo(t.Context())
	check(t, err)
	if empty.Images.Timestamp.IsZero() || !strings.Contains(empty.Images.Mountpoint, n.dir) {
		t.Errorf("%+v", empty)
	}
	img := n.mustPull("registry.example/a:1")
	c := n.container("c1", img)
	t.Cleanup(func() {
		_ = c.Delete(context.WithoutCancel(n.ctx))
	})
	eventually(t, "the usage shows the image twice, packed and unpacked", func() bool {
		i, err := n.svc.FsInfo(t.Context())
		return err == nil && i.Images.UsedBytes >= 2_000_000 && i.Images.InodesUsed > 4 && i.Images.UsedBytes < 4_000_000
	})
	eventually(t, "the writable layer is known", func() bool {
		u, ok := n.svc.SnapshotUsage("", "c1")
		return ok && u.Inodes > 0
	})
	info, err := n.svc.VerboseInfo(t.Context(), img)
	if err != nil || !strings.Contains(info["info"], img.ChainID) || !strings.Contains(info["info"], "diff_ids") {
		t.Errorf("verbose: %v, %v", info, err)
	}
}

func TestNoGoroutinesLeft(t *testing.T) {
	reg := newRegistry(t)
	reg.push(t, "a:1", imageOf(t, 35, 2, 1000))
	n := newNode(t, Options{})
	n.mirror("registry.example", reg.URL)
	before := goleak.IgnoreCurrent()
	svc := n.service(Options{})
	n.svc, svc = svc, n.svc
	n.mustPull("registry.example/a:1")
	_, err := n.pull("registry.example/none:1")
	if !errdefs.IsNotFound(err) {
		t.Error(err)
	}
	n.svc.Close()
	n.svc = svc
	goleak.VerifyNone(t, before, goleak.IgnoreAnyFunction("net/http.(*conn).serve"), goleak.IgnoreAnyFunction("net/http.(*connReader).backgroundRead"))
}
