package imageservice

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestPullAndRemove(t *testing.T) {
	reg := newRegistry(t)
	pushed := imageOf(t, 1, 4, 100_000)
	reg.push(t, "team/app:1", pushed)
	n := newNode(t, Options{})
	n.mirror("registry.example", reg.URL)

	img := n.mustPull("registry.example/team/app:1")
	want, err := pushed.ConfigName()
	check(t, err)
	if img.ID != want.String() {
		t.Errorf("ID %s, want the digest of the configuration, %s", img.ID, want)
	}
	dgst, _ := pushed.Digest()
	if got := strings.Join(img.RepoTags, ","); got != "registry.example/team/app:1" {
		t.Errorf("RepoTags %q", got)
	}
	if got := strings.Join(img.RepoDigests, ","); got != "registry.example/team/app@"+dgst.String() {
		t.Errorf("RepoDigests %q", got)
	}
	if uid, user := img.User(); uid == nil || *uid != 1000 || user != "" {
		t.Errorf("user %v %q", uid, user)
	}
	if img.Size < 400_000 {
		t.Errorf("size %d", img.Size)
	}
	for _, ref := range []string{img.ID, img.ID[7:], img.ID[7:19], img.ID[:20], "registry.example/team/app:1", img.RepoDigests[0], "registry.example/team/app:1@" + dgst.String()} {
		if got, err := n.svc.Status(ref); err != nil || got.ID != img.ID {
			t.Errorf("Status(%q): %v, %v", ref, got, err)
		}
	}
	checkFiles(t, n, img, 4)

	check(t, n.svc.Remove(t.Context(), img.ID[:15]))
	if l := n.svc.List(nil); len(l) != 0 {
		t.Errorf("still listed: %v", l)
	}
	n.clean()
	check(t, n.svc.Remove(t.Context(), img.ID))
}

// checkFiles mounts the image and looks at its files.
func checkFiles(t *testing.T, n *node, img *Image, layers int) {
	t.Helper()
	mounts, err := n.svc.PrepareImageMount(t.Context(), img, "view-of-test")
	check(t, err)
	again, err := n.svc.PrepareImageMount(t.Context(), img, "view-of-test")
	if err != nil || len(again) != len(mounts) {
		t.Errorf("the same view again: %v, %v", again, err)
	}
	if keys, err := n.svc.ListImageMounts(t.Context()); err != nil || !slices.Equal(keys, []string{"view-of-test"}) {
		t.Errorf("ListImageMounts: %v, %v", keys, err)
	}
	check(t, mount.WithReadonlyTempMount(t.Context(), mounts, func(root string) error {
		names, _ := filepath.Glob(filepath.Join(root, "file*"))
		if len(names) != layers {
			t.Errorf("files %v, want %d", names, layers)
		}
		shared, err := os.ReadFile(filepath.Join(root, "shared"))
		if err != nil || string(shared) != string('0'+rune(layers-1)) {
			t.Errorf("shared file %q, %v: not of the top layer", shared, err)
		}
		return nil
	}))
	check(t, n.svc.RemoveImageMount(t.Context(), "view-of-test"))
	check(t, n.svc.RemoveImageMount(t.Context(), "view-of-test"))
}

func TestPullByDigestAndManyReferences(t *testing.T) {
	reg := newRegistry(t)
	pushed := imageOf(t, 2, 2, 1000)
	reg.push(t, "a:1", pushed)
	reg.push(t, "a:2", pushed)
	reg.push(t, "b/c:latest", pushed)
	n := newNode(t, Options{})
	n.mirror("registry.example", reg.URL)
	dgst, _ := pushed.Digest()

	img := n.mustPull("registry.example/a@" + dgst.String())
	if len(img.RepoTags) != 0 || len(img.RepoDigests) != 1 {
		t.Errorf("by digest: tags %v, digests %v", img.RepoTags, img.RepoDigests)
	}
	fetches := reg.count("GET /v2")
	for _, ref := range []string{"registry.example/a:1", "registry.example/a:2", "registry.example/b/c"} {
		if again := n.mustPull(ref); again.ID != img.ID {
			t.Errorf("%s: ID %s, want %s", ref, again.ID, img.ID)
		}
	}
	if now := reg.count("GET /v2"); now != fetches {
		t.Errorf("%d requests for content that was here", now-fetches)
	}
	img, err := n.svc.Status("registry.example/a:2")
	check(t, err)
	if len(img.RepoTags) != 3 || len(img.RepoDigests) != 2 || len(n.svc.List(nil)) != 1 {
		t.Errorf("tags %v, digests %v", img.RepoTags, img.RepoDigests)
	}
	check(t, n.svc.Remove(t.Context(), "registry.example/a:2"))
	n.clean()
}

func TestTagMoves(t *testing.T) {
	reg := newRegistry(t)
	reg.push(t, "a:1", imageOf(t, 3, 1, 1000))
	n := newNode(t, Options{})
	n.mirror("registry.example", reg.URL)
	old := n.mustPull("registry.example/a:1")
	reg.push(t, "a:1", imageOf(t, 4, 1, 1000))
	now := n.mustPull("registry.example/a:1")
	if old.ID == now.ID {
		t.Fatal("the new image was not pulled")
	}
	kept, err := n.svc.Status(old.RepoDigests[0])
	if err != nil || kept.ID != old.ID || len(kept.RepoTags) != 0 {
		t.Errorf("the old image by digest: %+v, %v", kept, err)
	}
}

func TestMultiPlatform(t *testing.T) {
	reg := newRegistry(t)
	here := imageOf(t, 5, 1, 1000)
	other := withPlatform(t, imageOf(t, 6, 1, 1000), "linux", "s390x")
	add := func(img v1.Image, arch string) mutate.IndexAddendum {
		return mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}}}
	}
	reg.push(t, "both:1", mutate.AppendManifests(empty.Index, add(other, "s390x"), add(here, "amd64"), add(here, "arm64")))
	reg.push(t, "other:1", mutate.AppendManifests(empty.Index, add(other, "s390x")))
	reg.push(t, "plain:1", other)
	n := newNode(t, Options{})
	n.mirror("registry.example", reg.URL)

	img := n.mustPull("registry.example/both:1")
	if want, _ := here.ConfigName(); img.ID != want.String() {
		t.Errorf("chose %s, want %s", img.ID, want)
	}
	check(t, n.svc.Remove(t.Context(), img.ID))
	if _, err := n.pull("registry.example/other:1"); !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), "linux/s390x") {
		t.Errorf("an index of others: %v", err)
	}
	plain := n.mustPull("registry.example/plain:1") // nobody else could be meant
	check(t, n.svc.Remove(t.Context(), plain.ID))
	n.clean()
}

func TestRefusedRequests(t *testing.T) {
	n := newNode(t, Options{RuntimeHandlers: map[string]string{"runc": ""}})
	for name, c := range map[string]struct {
		spec *runtimeapi.ImageSpec
		auth *runtimeapi.AuthConfig
	}{
		"nil":             {},
		"upper case":      {spec: &runtimeapi.ImageSpec{Image: "Registry.example/Foo:1"}},
		"id":              {spec: &runtimeapi.ImageSpec{Image: "sha256:" + strings.Repeat("a", 64)}},
		"bad tag":         {spec: &runtimeapi.ImageSpec{Image: "foo:b@r"}},
		"unknown handler": {spec: &runtimeapi.ImageSpec{Image: "foo", RuntimeHandler: "kata"}},
		"auth no base64":  {spec: &runtimeapi.ImageSpec{Image: "foo"}, auth: &runtimeapi.AuthConfig{Auth: "%%"}},
		"auth no colon":   {spec: &runtimeapi.ImageSpec{Image: "foo"}, auth: &runtimeapi.AuthConfig{Auth: "Zm9v"}},
	} {
		if _, err := n.svc.Pull(t.Context(), c.spec, c.auth, nil); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	n.clean()
}

func TestImageInUse(t *testing.T) {
	reg := newRegistry(t)
	reg.push(t, "a:1", imageOf(t, 7, 2, 1000))
	n := newNode(t, Options{})
	n.mirror("registry.example", reg.URL)
	img := n.mustPull("registry.example/a:1")
	c := n.container("c1", img)
	check(t, n.svc.Remove(t.Context(), "registry.example/a:1"))
	sn := n.client.SnapshotService("overlayfs")
	if _, err := sn.Stat(n.ctx, "c1"); err != nil {
		t.Errorf("the container's snapshot went with the image: %v", err)
	}
	mounts, err := sn.Mounts(n.ctx, "c1")
	check(t, err)
	check(t, mount.WithTempMount(n.ctx, mounts, func(root string) error {
		_, err := os.ReadFile(filepath.Join(root, "file1"))
		return err
	}))
	check(t, c.Delete(n.ctx))
	check(t, sn.Remove(n.ctx, "c1"))
	check(t, n.svc.collect(n.ctx))
	n.clean()
}
