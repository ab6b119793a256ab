package critest

import (
	"path/filepath"
	"testing"

	"github.com/berth-run/berth/test/critest/reference"
	"github.com/berth-run/berth/test/images"
	"github.com/berth-run/berth/test/registry"
)

// Setup starts a registry that has the images of the suite, and returns a certs.d
// directory that makes a runtime find them there and nowhere else.
func Setup(t *testing.T) (certs string) {
	t.Helper()
	reg, err := registry.Start(registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(reg.Close)
	set, err := images.New()
	if err != nil {
		t.Fatal(err)
	}
	if err := set.PushSuite(reg); err != nil {
		t.Fatal(err)
	}
	pause, err := set.PauseAs("reference")
	if err != nil {
		t.Fatal(err)
	}
	if err := reg.Push(reference.SandboxImage, pause); err != nil {
		t.Fatal(err)
	}
	certs = t.TempDir()
	if err := reg.WriteHosts(certs, images.Upstreams()...); err != nil {
		t.Fatal(err)
	}
	return certs
}

// Binary is the path of a program in bin/, the directory of Berth's companions.
func Binary(t *testing.T, name string) string {
	t.Helper()
	root, err := images.Root()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(root, "bin", name)
}
