package ociruntime

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/berth-run/berth/shim/cgroups"
)

// Delete removes what the runtime keeps of a container whose init has ended: cgroups and state. One
// that the runtime does not know any more is no error.
func (r *Runtime) Delete(ctx context.Context) error {
	dir := filepath.Join(r.Root, r.ID)
	if _, err := os.Stat(dir); os.IsNotExist(err) {
		return nil
	}
	paths, plain := readState(filepath.Join(dir, stateFile))
	if !plain || r.Systemd {
		return r.run(ctx, "delete", []string{"delete", r.ID}, nil, nil, nil)
	}
	// The order of runc: as long as there is a cgroup, there is the state that names it.
	for _, path := range paths {
		if err := cgroups.Remove(ctx, path); err != nil {
			return fmt.Errorf("OCI runtime delete failed: %w", err)
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("OCI runtime delete failed: %w", err)
	}
	return nil
}

// ForceDelete has the runtime end the container, whatever its state, and remove it.
func (r *Runtime) ForceDelete(ctx context.Context) error {
	return r.run(ctx, "delete", []string{"delete", "--force", r.ID}, nil, nil, nil)
}

// readState reads from runc's state where the container's cgroups are. plain says that it is runc's
// and that removing these is all there is to do: no hooks, no Intel RDT group, cgroups made by runc.
func readState(path string) (paths map[string]string, plain bool) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, false
	}
	var s struct {
		CgroupPaths map[string]string `json:"cgroup_paths"`
		RdtPath     string            `json:"intel_rdt_path"`
		RdtMonPath  string            `json:"intel_rdt_mon_path"`
		Config      struct {
			Hooks   map[string]json.RawMessage
			Cgroups struct{ Systemd bool }
		}
	}
	if json.Unmarshal(data, &s) != nil || len(s.CgroupPaths) == 0 {
		return nil, false
	}
	return s.CgroupPaths, s.RdtPath == "" && s.RdtMonPath == "" && len(s.Config.Hooks) == 0 && !s.Config.Cgroups.Systemd
}
