package cgroup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/cgroups"
	cgfs "github.com/opencontainers/cgroups/fs"
	"github.com/opencontainers/cgroups/systemd"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// ensureTries bounds the race of EnsurePod with another pod's RemovePod, which
// removes the common parent when it is empty.
const ensureTries = 5

// EnsurePod makes the cgroup of a pod if it is our own (see PodParent); doing so
// twice is no error, and a parent that the kubelet gave is left alone.
func (h *Host) EnsurePod(_ context.Context, parent string) error {
	if !isOwn(parent) {
		return nil
	}
	var err error
	for range ensureTries {
		if err = h.ensureOwn(parent); err == nil {
			return nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return fmt.Errorf("make pod cgroup %s: %w", parent, err)
}

func (h *Host) ensureOwn(parent string) error {
	paths := h.Resolve(parent)
	if h.Driver == Systemd {
		m, err := h.systemdManager(parent, paths)
		if err != nil {
			return err
		}
		return m.Apply(-1)
	}
	if h.Mode == Unified {
		return h.makeUnified(paths[""])
	}
	m, err := cgfs.NewManager(&cgroups.Cgroup{Resources: &cgroups.Resources{SkipDevices: true}}, paths)
	if err != nil {
		return err
	}
	return m.Apply(-1)
}

// makeUnified makes dir and lets it have all controllers that its ancestors have.
// A controller that cannot be enabled (a process in a parent, a threaded domain) is left
// out: then only its limits are missing, which UpdatePod says when they are asked for.
func (h *Host) makeUnified(dir string) error {
	rel, err := filepath.Rel(h.Root, dir)
	if err != nil {
		return err
	}
	at := h.Root
	for _, part := range strings.Split(rel, "/") {
		enabled, err := os.ReadFile(filepath.Join(at, "cgroup.controllers"))
		if err != nil {
			return err
		}
		for _, c := range strings.Fields(string(enabled)) {
			_ = write(filepath.Join(at, "cgroup.subtree_control"), "+"+c)
		}
		at = filepath.Join(at, part)
		if err := os.Mkdir(at, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

// UpdatePod applies CRI's UpdatePodSandboxResources: resources plus overhead on the
// pod's cgroup. Nil messages and zero fields leave a value as it is. A pod cgroup that
// is missing is errdefs.ErrNotFound, a value that the layout refuses errdefs.ErrInvalidArgument;
// what the kernel refuses has its class from Refusal.
func (h *Host) UpdatePod(_ context.Context, parent string, resources, overhead *runtimeapi.LinuxContainerResources) error {
	r, err := podResources(h.Mode, resources, overhead)
	if err != nil {
		return fmt.Errorf("resources of pod cgroup %s: %w", parent, err)
	}
	if r == nil {
		return nil
	}
	if Relative(parent) == "/" {
		return fmt.Errorf("resources of pod cgroup %s: it is the root of the tree, which has no limits: %w",
			parent, errdefs.ErrInvalidArgument)
	}
	paths := h.existing(parent)
	if len(paths) == 0 {
		return fmt.Errorf("pod cgroup %s does not exist: %w", parent, errdefs.ErrNotFound)
	}
	m, err := h.manager(parent, paths)
	if err == nil {
		err = m.Set(r)
	}
	if err != nil {
		return fmt.Errorf("set resources of pod cgroup %s: %w", parent, Refusal(err))
	}
	return nil
}

// existing resolves parent to the directories that are there.
func (h *Host) existing(parent string) Paths {
	paths := h.Resolve(parent)
	for c, dir := range paths {
		if _, err := os.Stat(dir); err != nil {
			delete(paths, c)
		}
	}
	return paths
}

// RemovePod ends what runs in a pod cgroup of our own and removes it with all below.
// One that is not there is no error; one that is not our own is left alone.
func (h *Host) RemovePod(ctx context.Context, parent string) error {
	if !isOwn(parent) {
		return nil
	}
	paths := h.Resolve(parent)
	if err := h.KillAll(ctx, paths); err != nil {
		return err
	}
	if h.Driver == Systemd {
		m, err := h.systemdManager(parent, paths)
		if err == nil {
			err = m.Destroy()
		}
		if err != nil {
			return fmt.Errorf("remove pod cgroup %s: %w", parent, err)
		}
		return nil
	}
	if err := h.Remove(ctx, paths); err != nil {
		return err
	}
	for _, dir := range paths.Dirs() {
		// The common parent goes with the last pod; with another pod in it this fails, rightly.
		_ = os.Remove(filepath.Dir(dir))
	}
	return nil
}

// systemdManager manages the unit of a slice. A slice's parent comes from its name.
func (h *Host) systemdManager(slice string, paths Paths) (cgroups.Manager, error) {
	cg := &cgroups.Cgroup{
		Name:      slice,
		Parent:    parentSlice(slice),
		Systemd:   true,
		Resources: &cgroups.Resources{SkipDevices: true},
	}
	if h.Mode == Unified {
		return systemd.NewUnifiedManager(cg, paths[""])
	}
	return systemd.NewLegacyManager(cg, paths)
}

// parentSlice names the slice that holds slice: "a-b.slice" lies in "a.slice".
func parentSlice(slice string) string {
	name := strings.TrimSuffix(slice, ".slice")
	i := strings.LastIndex(name, "-")
	if i <= 0 {
		return "-.slice"
	}
	return name[:i] + ".slice"
}
