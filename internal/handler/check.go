package handler

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/pkg/shim"
	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-run/berth/config"
	"github.com/berth-run/berth/config/companions"
)

// Check looks whether the files that a handler names are there, without running or changing
// anything. A foreign shim that is known by name alone is looked for only where containerd is embedded: an
// external containerd has a PATH of its own, and may find what berthd does not. embedded reports whether
// containerd is embedded.
func Check(name string, hc config.Handler, find *companions.Finder, embedded bool) error {
	if hc.BaseSpec != "" {
		if _, err := readBaseSpec(hc.BaseSpec); err != nil {
			return err
		}
	}
	if hc.Shim == "" {
		_, err := find.Find(binaryName(name, hc))
		return err
	}
	if !embedded && !filepath.IsAbs(hc.Shim) {
		return nil
	}
	return findShim(hc.Shim, find)
}

// findShim looks for the binary of a containerd shim as containerd does.
func findShim(name string, find *companions.Finder) error {
	if filepath.IsAbs(name) {
		_, err := find.Find(name)
		return err
	}
	binary := shim.BinaryName(name)
	if binary == "" {
		return fmt.Errorf("%q is not the name of a containerd shim: %w", name, errdefs.ErrInvalidArgument)
	}
	if _, err := find.Find(binary); err != nil {
		return fmt.Errorf("shim %s: %w", name, err)
	}
	return nil
}

func readBaseSpec(file string) (*specs.Spec, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("base_spec: %w", err)
	}
	s := &specs.Spec{}
	if err := json.Unmarshal(raw, s); err != nil {
		return nil, fmt.Errorf("base_spec %s is no OCI runtime specification: %w", file, err)
	}
	return s, nil
}
