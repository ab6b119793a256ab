package container

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"k8s.io/klog/v2"

	"github.com/berth-run/berth/shim"
)

// endUnrecorded ends a container that nothing but its shim's status file tells of: its
// record was lost with the database, or with a former root directory. Nobody could ever
// stop it otherwise.
func (m *Manager) endUnrecorded(ctx context.Context, id string) {
	log := klog.FromContext(ctx).WithValues("id", id)
	var r shim.Record
	raw, err := os.ReadFile(m.paths.ContainerStatus(id))
	if err == nil {
		err = json.Unmarshal(raw, &r)
	}
	if err != nil {
		return // it was never started
	}
	ctx, cancel := context.WithTimeout(ctx, lostCgroupTimeout)
	defer cancel()
	if path := cgroupOf(r.PID, id); path != "" {
		log.Info("Ending a container that runs without a record", "pid", r.PID, "cgroup", path)
		paths := m.Cgroups.Resolve(path)
		err = m.Cgroups.KillAll(ctx, paths)
		if err == nil {
			err = m.Cgroups.Remove(ctx, paths)
		}
		if err != nil {
			log.Error(err, "Cannot end it")
		}
	}
	if err := os.RemoveAll(filepath.Join(m.paths.RuncRoot(), "k8s.io", id)); err != nil {
		log.Error(err, "Cannot remove runc's state of a container without a record")
	}
}

// cgroupOf is the cgroup of a container, found by a process of it, empty when that is
// gone.
func cgroupOf(pid int, id string) string {
	if pid <= 0 {
		return ""
	}
	raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cgroup"))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(raw)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		// The container may have made cgroups of its own below.
		parts := strings.Split(fields[2], "/")
		for n, part := range parts {
			if strings.Contains(part, id) {
				return strings.Join(parts[:n+1], "/")
			}
		}
	}
	return ""
}
