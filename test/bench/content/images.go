// Package content makes the images of the benchmark and puts them into a registry.
package content

import (
	"fmt"
	"math/rand/v2"
	"runtime"

	"github.com/google/go-containerregistry/pkg/compression"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"

	"github.com/berth-run/berth/test/images"
	"github.com/berth-run/berth/test/registry"
)

// Images that pods are run from: Workload has Program and true, Pause is what containerd's
// CRI plugin needs for its sandboxes.
const (
	Workload = "berth.test/bench:1"
	Pause    = "berth.test/bench-pause:1"
)

// Program is the path of the workload in its image.
const Program = "/workload"

// PushBase puts Workload and Pause into the registry.
func PushBase(reg *registry.Registry) error {
	workload, err := workloadImage()
	if err != nil {
		return err
	}
	pause, err := pauseImage()
	if err != nil {
		return err
	}
	if err := reg.Push(Pause, pause); err != nil {
		return err
	}
	return reg.Push(Workload, workload)
}

func workloadImage() (v1.Image, error) {
	nothing, err := compile(sourceTrue)
	if err != nil {
		return nil, err
	}
	workload, err := buildWorkload()
	if err != nil {
		return nil, err
	}
	base, err := images.Layer(append(images.Skeleton(), images.File{Path: "bin/true", Mode: 0o755, Body: nothing}))
	if err != nil {
		return nil, err
	}
	top, err := images.Layer([]images.File{{Path: Program[1:], Mode: 0o755, Body: workload}})
	if err != nil {
		return nil, err
	}
	return images.Build(images.Spec{
		Layers: []v1.Layer{base, top},
		Config: v1.Config{Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, Cmd: []string{Program, "pause"}},
	})
}

func pauseImage() (v1.Image, error) {
	pause, err := compile(sourcePause)
	if err != nil {
		return nil, err
	}
	layer, err := images.Layer([]images.File{{Path: "pause", Mode: 0o755, Body: pause}})
	if err != nil {
		return nil, err
	}
	return images.Build(images.Spec{
		Layers: []v1.Layer{layer},
		Config: v1.Config{Entrypoint: []string{"/pause"}, User: "65535:65535"},
	})
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
	layers := make([]v1.Layer, s.Layers)
	var g errgroup.Group
	g.SetLimit(runtime.NumCPU())
	for n := range layers {
		g.Go(func() (err error) {
			if layers[n], err = images.Layer(s.files(n), options...); err != nil {
				return err
			}
			_, err = layers[n].Digest() // compresses it, which takes most of the time
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	img, err := images.Build(images.Spec{Layers: layers})
	if err != nil {
		return err
	}
	return reg.Push(s.Ref(comp), img)
}

// files are those of a layer.
func (s Shape) files(layer int) []images.File {
	files := make([]images.File, s.Files)
	for n := range files {
		files[n] = images.File{
			Path: fmt.Sprintf("d%d/l%d-f%d", n%100, layer, n), Body: halfNoise(uint64(layer)<<32|uint64(n), s.Size),
		}
	}
	return files
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
