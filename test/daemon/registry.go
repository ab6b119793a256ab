package daemon

import (
	"fmt"
	"sync"
	"testing"

	"github.com/berth-run/berth/test/images"
	"github.com/berth-run/berth/test/registry"
)

// shared is the registry of the test binary. It ends with the process.
var shared = sync.OnceValues(func() (*registry.Registry, error) {
	reg, err := registry.Start(registry.Options{})
	if err != nil {
		return nil, err
	}
	if err := images.PushAll(reg); err != nil {
		reg.Close()
		return nil, fmt.Errorf("filling the test registry: %w", err)
	}
	return reg, nil
})

// Registry is the registry that has all test images, started when first asked for.
func Registry(t testing.TB) *registry.Registry {
	t.Helper()
	reg, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return reg
}
