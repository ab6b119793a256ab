// Package content makes the images of the benchmark and puts them into a registry.
package content

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/google/go-containerregistry/pkg/compression"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/berth-run/berth/test/images"
	"github.com/berth-run/berth/test/registry"
)

// Images that pods are run from: Workload has busybox and /workload, Pause is what
// containerd's CRI plugin needs for its sandboxes.
const (
	Workload = "berth.test/bench:1"
	Pause    = "berth.test/bench-pause:1"
)

// Program is the path of the workload in its image.
const Program = "/workload"

// PushBase puts Workload and Pause into the registry.
func PushBase(reg *registry.Registry) error {
	set, err := images.New()
	if err != nil {
		return err
	}
	busybox, err := set.Busybox()
	if err != nil {
		return err
	}
	program, err := buildWorkload()
	if err != nil {
		return err
	}
	layer, err := images.Layer([]images.File{{Path: Program[1:], Mode: 0o755, Body: program}})
	if err != nil {
		return err
	}
	workload, err := images.Build(images.Spec{
		Base: busybox, Layers: []v1.Layer{layer},
		Config: v1.Config{Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, Cmd: []string{Program, "pause"}},
	})
	if err != nil {
		return err
	}
	pause, err := set.PauseAs("bench")
	if err != nil {
		return err
	}
	if err := reg.Push(Pause, pause); err != nil {
		return err
	}
	return reg.Push(Workload, workload)
}

func buildWorkload() ([]byte, error) {
	root, err := images.Root()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "bench-workload-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "workload")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w -buildid=", "-o", path, "./test/bench/workload")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building the workload: %w: %s", err, out)
	}
	return os.ReadFile(path)
}

// Shape is what an image to pull is made of.
type Shape struct {
	// Name is short, Title says what it is.
	Name, Title string
	// Layers each have Files of Size bytes.
	Layers, Files, Size int
}

// Shapes are the images that pulls are measured with.
func Shapes() []Shape {
	return []Shape{
		{"one", "1 layer of 300 MiB", 1, 30, 10 << 20},
		{"many", "20 layers of 10 MiB", 20, 10, 1 << 20},
		{"small", "20,000 small files", 1, 20000, 2000},
	}
}

// Ref is the name of the image of that shape.
func (s Shape) Ref(compression string) string {
	return fmt.Sprintf("berth.test/bench-%s:%s", s.Name, compression)
}

// Compressions are those of the layers.
func Compressions() []string { return []string{"gzip", "zstd"} }

// Push makes the image and puts it into the registry.
func (s Shape) Push(reg *registry.Registry, comp string) error {
	var options []tarball.LayerOption
	if comp == "zstd" {
		options = append(options, tarball.WithCompression(compression.ZStd),
			tarball.WithMediaType(types.OCILayerZStd), tarball.WithCompressionLevel(3))
	}
	spec := images.Spec{}
	for l := range s.Layers {
		var files []images.File
		for f := range s.Files {
			files = append(files, images.File{
				Path: fmt.Sprintf("d%d/l%d-f%d", f%100, l, f), Body: halfNoise(uint64(l)<<32|uint64(f), s.Size),
			})
		}
		layer, err := images.Layer(files, options...)
		if err != nil {
			return err
		}
		spec.Layers = append(spec.Layers, layer)
	}
	img, err := images.Build(spec)
	if err != nil {
		return err
	}
	return reg.Push(s.Ref(comp), img)
}

// halfNoise compresses about as well as programs do: every other 32 bytes are zero.
func halfNoise(seed uint64, size int) []byte {
	var key [32]byte
	copy(key[:], fmt.Sprintf("bench %d", seed))
	b := make([]byte, size)
	_, _ = rand.NewChaCha8(key).Read(b)
	for i := 0; i+64 <= size; i += 64 {
		clear(b[i+32 : i+64])
	}
	return b
}
