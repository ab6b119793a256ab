package imageservice

import (
	"fmt"
	"testing"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

// halfNoise compresses about as well as programs do.
func halfNoise(seed uint64, size int) []byte {
	b := noise(seed, size)
	for i := 0; i+64 <= size; i += 64 {
		clear(b[i+32 : i+64])
	}
	return b
}

func benchImage(b *testing.B, layers, files, size int) v1.Image {
	img := empty.Image
	for l := range layers {
		m := map[string][]byte{}
		for f := range files {
			m[fmt.Sprintf("d%d/l%d-f%d", f%100, l, f)] = halfNoise(uint64(l*100000+f), size)
		}
		var err error
		if img, err = mutate.AppendLayers(img, layerOf(b, m)); err != nil {
			b.Fatal(err)
		}
	}
	return withPlatform(b, img, "linux", "amd64")
}

// BenchmarkPull compares this package with containerd's client, which is what
// containerd's CRI plugin does, on the same containerd. Run with -benchtime 3x.
func BenchmarkPull(b *testing.B) {
	for _, shape := range []struct {
		name                string
		layers, files, size int
	}{{"1x200MiB", 1, 4, 50 << 20}, {"20x10MiB", 20, 2, 5 << 20}, {"20000files", 1, 20000, 2000}} {
		reg := newRegistry(b)
		reg.push(b, "a:1", benchImage(b, shape.layers, shape.files, shape.size))
		for _, mode := range []string{"berth", "berth-nostream", "client"} {
			b.Run(shape.name+"/"+mode, func(b *testing.B) {
				n := newNode(b, Options{DisableStreaming: mode == "berth-nostream"})
				n.mirror("registry.example", reg.URL)
				for b.Loop() {
					if mode == "client" {
						clientPull(b, n, reg.host()+"/a:1")
						b.StopTimer()
						check(b, n.client.ImageService().Delete(n.ctx, reg.host()+"/a:1", images.SynchronousDelete()))
					} else {
						img := n.mustPull("registry.example/a:1")
						b.StopTimer()
						check(b, n.svc.Remove(b.Context(), img.ID))
					}
					b.StartTimer()
				}
			})
		}
	}
}

func clientPull(b testing.TB, n *node, ref string) {
	resolver := docker.NewResolver(docker.ResolverOptions{PlainHTTP: true})
	_, err := n.client.Pull(n.ctx, ref, containerd.WithPullUnpack, containerd.WithPullSnapshotter("overlayfs"),
		containerd.WithResolver(resolver), containerd.WithMaxConcurrentDownloads(3))
	if err != nil {
		b.Fatal(err)
	}
}
