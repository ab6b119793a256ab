package images_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/berth-run/berth/test/images"
	"github.com/berth-run/berth/test/registry"
)

func pushed(t *testing.T) *registry.Registry {
	t.Helper()
	reg, err := registry.Start(registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(reg.Close)
	if err := images.PushAll(reg); err != nil {
		t.Fatal(err)
	}
	return reg
}

func get(t *testing.T, reg *registry.Registry, image string) (v1.Image, error) {
	t.Helper()
	repository, err := reg.Repository(image)
	if err != nil {
		t.Fatal(err)
	}
	_, tag, _ := strings.Cut(image, ":")
	ref, err := name.ParseReference(reg.Host()+"/"+repository+":"+tag, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	return remote.Image(ref)
}

// Zstd is left out: the validator knows nothing but gzip.
func TestImagesAreWhole(t *testing.T) {
	reg := pushed(t)
	for _, image := range []string{
		images.Busybox, images.Nginx, images.Pause, images.Tools, images.Full, images.Groups, images.MultiArch,
		images.Docker, images.Whiteout, images.Big, images.OtherArch,
	} {
		img, err := get(t, reg, image)
		if err == nil {
			err = validate.Image(img)
		}
		if err != nil {
			t.Errorf("%s: %v", image, err)
		}
	}
}

func TestBrokenImagesAreBroken(t *testing.T) {
	reg := pushed(t)
	for _, image := range []string{
		images.BadManifest, images.BadConfig, images.BadDiffID, images.BadLayerDigest, images.BadLayerSize,
		images.BadLayerFormat, images.MissingLayer, images.OtherArchIndex,
	} {
		img, err := get(t, reg, image)
		if err == nil {
			err = validate.Image(img)
		}
		if err == nil {
			t.Errorf("%s is a valid image", image)
		}
	}
}

func TestDigestsAreStable(t *testing.T) {
	digests := map[v1.Hash]bool{}
	for range 2 {
		img, err := get(t, pushed(t), images.Tools)
		if err != nil {
			t.Fatal(err)
		}
		digest, err := img.Digest()
		if err != nil {
			t.Fatal(err)
		}
		digests[digest] = true
	}
	if len(digests) != 1 {
		t.Errorf("two builds have the digests %v", digests)
	}
}

// The validation suite masks an applet and expects the shell to notice: a standalone
// shell would run its own.
func TestBusyboxShellIsNotStandalone(t *testing.T) {
	root, err := images.Root()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(filepath.Join(root, "build", "busybox"), filepath.Join(dir, "sh")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(dir, "sh"), "-c", "ls /")
	cmd.Env = []string{"PATH=" + dir}
	if out, err := cmd.CombinedOutput(); err == nil {
		t.Errorf("sh ran ls although PATH has none: %s", out)
	}
}
