package images

import (
	"fmt"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/berth-run/berth/test/registry"
)

// entry is an image of the catalogue: its names, and how to make it.
type entry struct {
	names []string
	build func() (v1.Image, error)
}

// Upstreams are the registries in whose names the images are; a hosts.toml for each
// (registry.WriteHosts) makes them resolve to the test registry.
func Upstreams() []string {
	return []string{"registry.k8s.io", "k8s.gcr.io", "gcr.io", "docker.io", "quay.io", "berth.test"}
}

// PushAll builds every image and pushes it to the registry.
func PushAll(reg *registry.Registry) error {
	s, err := New()
	if err != nil {
		return err
	}
	if err := s.PushSuite(reg); err != nil {
		return err
	}
	return s.PushOwn(reg)
}

// Image builds the image of the suite or of Berth's own tests that has a name.
func (s *Set) Image(name string) (v1.Image, error) {
	for _, e := range append(s.suite(), s.own()...) {
		if slices.Contains(e.names, name) {
			return e.build()
		}
	}
	return nil, fmt.Errorf("there is no image %q for tests", name)
}

// PushSuite pushes the images of the CRI validation suite.
func (s *Set) PushSuite(reg *registry.Registry) error { return pushEntries(reg, s.suite()) }

// PushOwn pushes the images of Berth's own tests, the broken ones included.
func (s *Set) PushOwn(reg *registry.Registry) error {
	if err := pushEntries(reg, s.own()); err != nil {
		return err
	}
	if err := s.pushIndexes(reg); err != nil {
		return err
	}
	return s.pushBroken(reg)
}

func pushEntries(reg *registry.Registry, entries []entry) error {
	for _, e := range entries {
		img, err := e.build()
		if err != nil {
			return fmt.Errorf("building the image %s: %w", e.names[0], err)
		}
		for _, name := range e.names {
			if err := reg.Push(name, img); err != nil {
				return err
			}
		}
	}
	return nil
}
