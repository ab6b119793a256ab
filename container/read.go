package container

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/container/ocispec"
	"github.com/berth-run/berth/internal/index"
	"github.com/berth-run/berth/internal/report"
	"github.com/berth-run/berth/metrics"
	"github.com/berth-run/berth/sandbox"
)

// stateName is a state in a person's words.
func stateName(s runtimeapi.ContainerState) string {
	return strings.ToLower(strings.TrimPrefix(s.String(), "CONTAINER_"))
}

// entry is the container as a list shows it.
func (c *Container) entry() (index.Entry, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.listed.Entry(int32(c.state()), func() proto.Message {
		labels, annotations := c.reported()
		return &runtimeapi.Container{
			Id:           c.ID,
			PodSandboxId: c.Pod.ID,
			Metadata:     c.Config.GetMetadata(),
			Image:        c.imageSpec(),
			ImageRef:     c.record.ImageRef,
			ImageId:      c.record.ImageID,
			State:        c.state(),
			CreatedAt:    c.CreatedAt.UnixNano(),
			Labels:       labels,
			Annotations:  annotations,
		}
	})
}

// reported are the labels and annotations as lists, statuses and events show them: long ones cut off.
func (c *Container) reported() (labels, annotations map[string]string) {
	return report.Metadata(c.Config.GetLabels(), c.Config.GetAnnotations())
}

// oldestFirst is the order of lists.
func oldestFirst(a, b *Container) int {
	return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), strings.Compare(a.ID, b.ID))
}

// Visible lists the containers that clients may see, oldest first. The list is not to be changed.
func (m *Manager) Visible() []*Container {
	all := m.all.List()
	if !slices.ContainsFunc(all, (*Container).isHidden) {
		return all
	}
	return slices.DeleteFunc(slices.Clone(all), (*Container).isHidden)
}

// List are the containers that a filter selects (CRI ListContainers), oldest first. The
// IDs of a filter may be unique prefixes; one that fits nothing selects nothing.
func (m *Manager) List(f *runtimeapi.ContainerFilter) ([]index.Entry, error) {
	candidates := m.Visible()
	if id := f.GetId(); id != "" {
		c, err := m.all.Get(id)
		if err != nil || c.isHidden() {
			return nil, nil
		}
		candidates = []*Container{c}
	}
	podID := f.GetPodSandboxId()
	if podID != "" {
		pod, err := m.pods.Get(podID)
		if err != nil {
			return nil, nil
		}
		podID = pod.ID
	}
	out := make([]index.Entry, 0, len(candidates))
	for _, c := range candidates {
		if podID != "" && c.Pod.ID != podID {
			continue
		}
		if !sandbox.HasLabels(c.Config.GetLabels(), f.GetLabelSelector()) {
			continue
		}
		e, err := c.entry()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.Name(), err)
		}
		if f.GetState() == nil || int32(f.GetState().GetState()) == e.State {
			out = append(out, e)
		}
	}
	return out, nil
}

// Status describes the container (CRI ContainerStatus).
func (c *Container) Status() *runtimeapi.ContainerStatus {
	c.mu.RLock()
	defer c.mu.RUnlock()
	labels, annotations := c.reported()
	s := &runtimeapi.ContainerStatus{
		Id:          c.ID,
		Metadata:    c.Config.GetMetadata(),
		State:       c.state(),
		CreatedAt:   c.CreatedAt.UnixNano(),
		Image:       c.imageSpec(),
		ImageRef:    c.record.ImageRef,
		ImageId:     c.record.ImageID,
		Labels:      labels,
		Annotations: annotations,
		Mounts:      c.reportedMounts(),
		LogPath:     c.LogPath(),
		User:        c.record.User,
		StopSignal:  c.criStopSignal(),
	}
	if c.record.Resources != nil {
		s.Resources = &runtimeapi.ContainerResources{Linux: c.record.Resources}
	}
	if !c.startedAt.IsZero() {
		s.StartedAt = c.startedAt.UnixNano()
	}
	if e := c.record.Exit; c.record.Phase == Exited && e != nil {
		if !e.StartedAt.IsZero() {
			s.StartedAt = e.StartedAt.UnixNano()
		}
		s.FinishedAt = e.FinishedAt.UnixNano()
		s.ExitCode = e.Code
		s.Reason = e.Reason
		s.Message = e.Message
	}
	return s
}

// criStopSignal is the container's stop signal as KEP-4960 reports it; c.mu is held.
func (c *Container) criStopSignal() runtimeapi.Signal {
	return ocispec.CRISignal(c.record.StopSignal)
}

// PodStatuses describes the containers of a pod that clients may see.
func (m *Manager) PodStatuses(podID string) []*runtimeapi.ContainerStatus {
	var out []*runtimeapi.ContainerStatus
	for _, c := range m.ofPod(podID) {
		if !c.isHidden() {
			out = append(out, c.Status())
		}
	}
	return out
}

// Info is the verbose part of ContainerStatus: one JSON object under "info". It
// reads the OCI spec from the record.
func (m *Manager) Info(ctx context.Context, c *Container) (map[string]string, error) {
	ociSpec, err := m.store.spec(ctx, c.ID)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Name(), err)
	}
	c.mu.RLock()
	info := map[string]any{
		"sandboxID":      c.Pod.ID,
		"pid":            c.pid,
		"phase":          c.phase(),
		"exit":           c.record.Exit,
		"ignored":        append([]string{}, c.record.Ignored...),
		"snapshotter":    c.Snapshotter,
		"snapshotKey":    c.ID,
		"cgroupsPath":    c.CgroupsPath,
		"runtimeHandler": c.Pod.Handler.Name,
		"shim":           c.Pod.Handler.Shim,
		"image":          c.imageName(),
		"config":         c.Config,
		"runtimeSpec":    ociSpec,
	}
	c.mu.RUnlock()
	raw, err := json.Marshal(info)
	if err != nil {
		return nil, fmt.Errorf("encode the info of %s: %w", c.Name(), err)
	}
	return map[string]string{"info": string(raw)}, nil
}

// phase is what the container is in, in one word: the record's, and "running", which no record
// says; c.mu is held.
func (c *Container) phase() string {
	if c.state() == runtimeapi.ContainerState_CONTAINER_RUNNING {
		return stateName(runtimeapi.ContainerState_CONTAINER_RUNNING)
	}
	return string(c.record.Phase)
}

// Ref is the container as the sampler sees it.
func (c *Container) Ref() metrics.ContainerRef {
	c.mu.RLock()
	defer c.mu.RUnlock()
	pid := c.pid
	if !c.running {
		pid = 0
	}
	labels, annotations := c.reported()
	return metrics.ContainerRef{
		ID:          c.ID,
		PodID:       c.Pod.ID,
		Metadata:    c.Config.GetMetadata(),
		Labels:      labels,
		Annotations: annotations,
		State:       c.state(),
		Image:       c.imageName(),
		CgroupPath:  c.CgroupsPath,
		InitPID:     pid,
		Snapshotter: c.Snapshotter,
		SnapshotKey: c.ID,
		CreatedAt:   c.CreatedAt,
		StartedAt:   c.startedAt,
		Foreign:     c.Pod.Handler.Foreign,
		OOMKills:    c.oomKills(),
	}
}

// oomKills is how many processes of a container that has ended were killed for its
// memory limit; c.mu is held.
func (c *Container) oomKills() uint64 {
	e := c.record.Exit
	switch {
	case c.record.Phase != Exited || e == nil:
		return 0
	case e.OOMKills == 0 && e.Reason == ReasonOOMKilled:
		return 1
	}
	return e.OOMKills
}
