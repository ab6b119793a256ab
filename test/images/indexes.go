package images

import (
	"fmt"
	"runtime"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/berth-run/berth/test/registry"
)

// Indexes, and images for other machines.
const (
	// MultiArch is an index of images for several platforms; /arch tells which one it
	// is. It also has an attestation, whose platform is unknown.
	MultiArch = "berth.test/multiarch:1"
	// OtherArchIndex is an index without an image for this machine.
	OtherArchIndex = "berth.test/otherarch:index"
	// OtherArch is a plain image for another machine.
	OtherArch = "berth.test/otherarch:image"
)

// otherArch is a machine that this one is not.
func otherArch() string {
	if runtime.GOARCH == "s390x" {
		return "ppc64le"
	}
	return "s390x"
}

// forArch is an image for a machine: real content only where it is this one.
func (s *Set) forArch(arch string) (v1.Image, error) {
	mark, err := Layer([]File{{Path: "arch", Body: []byte(arch + "\n")}})
	if err != nil {
		return nil, err
	}
	layers := []v1.Layer{mark}
	if arch == runtime.GOARCH {
		layers = []v1.Layer{s.busybox, mark}
	}
	return Build(Spec{
		Layers: layers, Platform: &v1.Platform{OS: "linux", Architecture: arch},
		Config: v1.Config{Env: []string{searchPath}, Cmd: []string{"cat", "/arch"}},
	})
}

func (s *Set) index(architectures ...string) (v1.ImageIndex, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, arch := range architectures {
		img, err := s.forArch(arch)
		if err != nil {
			return nil, err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}},
		})
	}
	return index, nil
}

func (s *Set) pushIndexes(reg *registry.Registry) error {
	multi, err := s.index("arm64", "amd64", "s390x")
	if err != nil {
		return fmt.Errorf("building the index %s: %w", MultiArch, err)
	}
	attestation, err := s.forArch("unknown")
	if err != nil {
		return fmt.Errorf("building the index %s: %w", MultiArch, err)
	}
	multi = mutate.AppendManifests(multi, mutate.IndexAddendum{
		Add: attestation, Descriptor: v1.Descriptor{
			Platform:    &v1.Platform{OS: "unknown", Architecture: "unknown"},
			Annotations: map[string]string{"vnd.docker.reference.type": "attestation-manifest"},
		},
	})
	if err := reg.PushIndex(MultiArch, multi); err != nil {
		return err
	}
	other, err := s.index(otherArch())
	if err != nil {
		return fmt.Errorf("building the index %s: %w", OtherArchIndex, err)
	}
	if err := reg.PushIndex(OtherArchIndex, other); err != nil {
		return err
	}
	img, err := s.forArch(otherArch())
	if err != nil {
		return fmt.Errorf("building the image %s: %w", OtherArch, err)
	}
	return reg.Push(OtherArch, img)
}
