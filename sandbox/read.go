package sandbox

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/cni"
	"github.com/berth-run/berth/cri/streaming"
	"github.com/berth-run/berth/internal/index"
	"github.com/berth-run/berth/internal/report"
)

// State is the pod's state in the words of the CRI.
func (s *Sandbox) State() runtimeapi.PodSandboxState {
	if s.Ready() {
		return runtimeapi.PodSandboxState_SANDBOX_READY
	}
	return runtimeapi.PodSandboxState_SANDBOX_NOTREADY
}

func (s *Sandbox) isHidden() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.hidden
}

// entry is the pod as a list shows it.
func (s *Sandbox) entry() (index.Entry, error) {
	state := s.State()
	return s.listed.Entry(int32(state), func() proto.Message {
		labels, annotations := s.Reported()
		return &runtimeapi.PodSandbox{
			Id:             s.ID,
			Metadata:       s.Config.GetMetadata(),
			State:          state,
			CreatedAt:      s.CreatedAt.UnixNano(),
			Labels:         labels,
			Annotations:    annotations,
			RuntimeHandler: s.HandlerName,
		}
	})
}

// Reported are the labels and annotations as lists, statuses and events show them: long ones cut off.
func (s *Sandbox) Reported() (labels, annotations map[string]string) {
	return report.Metadata(s.Config.GetLabels(), s.Config.GetAnnotations())
}

// oldestFirst is the order of lists.
func oldestFirst(a, b *Sandbox) int {
	return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), strings.Compare(a.ID, b.ID))
}

// Visible lists the pods that clients may see, oldest first. The list is not to be changed.
func (m *Manager) Visible() []*Sandbox {
	all := m.pods.List()
	if !slices.ContainsFunc(all, (*Sandbox).isHidden) {
		return all
	}
	return slices.DeleteFunc(slices.Clone(all), (*Sandbox).isHidden)
}

// List are the pods that a filter selects (CRI ListPodSandbox), oldest first. A
// filter's ID may be a unique prefix; one that fits nothing selects nothing.
func (m *Manager) List(f *runtimeapi.PodSandboxFilter) ([]index.Entry, error) {
	candidates := m.Visible()
	if id := f.GetId(); id != "" {
		s, err := m.pods.Get(id)
		if err != nil || s.isHidden() {
			return nil, nil
		}
		candidates = []*Sandbox{s}
	}
	out := make([]index.Entry, 0, len(candidates))
	for _, s := range candidates {
		if !HasLabels(s.Config.GetLabels(), f.GetLabelSelector()) {
			continue
		}
		e, err := s.entry()
		if err != nil {
			return nil, fmt.Errorf("pod sandbox %s: %w", s.ID, err)
		}
		if f.GetState() == nil || int32(f.GetState().GetState()) == e.State {
			out = append(out, e)
		}
	}
	return out, nil
}

// HasLabels says whether labels has every pair of selector.
func HasLabels(labels, selector map[string]string) bool {
	for k, v := range selector {
		if got, ok := labels[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// Status describes one pod (CRI PodSandboxStatus).
func (m *Manager) Status(id string) (*runtimeapi.PodSandboxStatus, *Sandbox, error) {
	s, err := m.Get(id)
	if err != nil {
		return nil, nil, err
	}
	return s.Status(), s, nil
}

// Status describes the pod.
func (s *Sandbox) Status() *runtimeapi.PodSandboxStatus {
	labels, annotations := s.Reported()
	st := &runtimeapi.PodSandboxStatus{
		Id:             s.ID,
		Metadata:       s.Config.GetMetadata(),
		State:          s.State(),
		CreatedAt:      s.CreatedAt.UnixNano(),
		Network:        &runtimeapi.PodSandboxNetworkStatus{},
		Linux:          &runtimeapi.LinuxPodSandboxStatus{Namespaces: &runtimeapi.Namespace{Options: s.namespaceOptions()}},
		Labels:         labels,
		Annotations:    annotations,
		RuntimeHandler: s.HandlerName,
	}
	if ips := s.IPs(); len(ips) > 0 {
		st.Network.Ip = ips[0]
		for _, ip := range ips[1:] {
			st.Network.AdditionalIps = append(st.Network.AdditionalIps, &runtimeapi.PodIP{Ip: ip})
		}
	}
	return st
}

// Info is the verbose part of PodSandboxStatus: one JSON object under "info".
func (m *Manager) Info(s *Sandbox) (map[string]string, error) {
	info := struct {
		Phase          Phase                        `json:"phase"`
		Handler        string                       `json:"runtimeHandler"`
		Shim           string                       `json:"shim"`
		ShimPID        int                          `json:"shimPid,omitempty"`
		PID            uint32                       `json:"pid,omitempty"`
		CgroupParent   string                       `json:"cgroupParent"`
		NetNS          string                       `json:"netns,omitempty"`
		Detached       bool                         `json:"networkDetached"`
		DetachError    string                       `json:"networkDetachError,omitempty"`
		CNIResult      []cni.NetworkResult          `json:"cniResult,omitempty"`
		Config         *runtimeapi.PodSandboxConfig `json:"config"`
		StateDirectory string                       `json:"stateDirectory"`
		ShmBytes       int64                        `json:"shmUsedBytes"`
		FilesBytes     int64                        `json:"filesUsedBytes"`
		Ignored        []string                     `json:"ignored"`
	}{
		Phase: s.Phase(), Handler: s.Handler.Name, Shim: s.Handler.Shim, PID: s.InitPID(),
		CgroupParent: s.CgroupParent, Detached: m.detached(s), Config: s.Config, StateDirectory: m.paths.Pod(s.ID),
		FilesBytes: tmpfsUse(m.paths.PodFiles(s.ID)), Ignored: append([]string{}, s.record.Ignored...),
	}
	if shm := m.ShmPath(s); shm != "" {
		info.ShmBytes = tmpfsUse(shm)
	}
	if p := s.Shim(); p != nil {
		info.ShimPID = p.PID()
	}
	if !s.HostNetwork() {
		info.NetNS = m.cniNetNS(s.ID)
		if att, err := m.attachment(s); err == nil {
			if r, err := m.Network.CachedResult(att); err == nil {
				info.CNIResult = r.Networks
			}
		}
	}
	if err := m.queue.LastError(s.ID); err != nil {
		info.DetachError = err.Error()
	}
	raw, err := json.Marshal(info)
	if err != nil {
		return nil, fmt.Errorf("encode the info of pod sandbox %s: %w", s.ID, err)
	}
	return map[string]string{"info": string(raw)}, nil
}

// PodNetwork says where the pod's ports are, for PortForward.
func (m *Manager) PodNetwork(_ context.Context, id string) (streaming.PodNetwork, error) {
	s, err := m.Get(id)
	if err != nil {
		return streaming.PodNetwork{}, err
	}
	if !s.Ready() {
		return streaming.PodNetwork{}, fmt.Errorf("pod sandbox %s is not ready: %w", s.ID, errdefs.ErrFailedPrecondition)
	}
	return streaming.PodNetwork{NetnsPath: m.paths.PodNetNS(s.ID), Host: s.HostNetwork()}, nil
}

// NetNS is the pod's pinned network namespace, empty on the host's network.
func (m *Manager) NetNS(s *Sandbox) string {
	if s.HostNetwork() {
		return ""
	}
	return m.paths.PodNetNS(s.ID)
}

// CollectNetworks tells the plugins which attachments exist, so that they drop all
// others (CNI GC).
func (m *Manager) CollectNetworks(ctx context.Context) error {
	var live []cni.Attachment
	for _, s := range m.pods.List() {
		if s.HostNetwork() || m.detached(s) {
			continue
		}
		att, err := m.attachment(s)
		if err != nil {
			return err
		}
		live = append(live, att)
	}
	for _, id := range m.alien { // somebody else's, a newer daemon's perhaps
		live = append(live, cni.Attachment{PodID: id})
	}
	return m.Network.GC(ctx, live)
}

// RunGC calls CollectNetworks now and every interval until ctx ends; an interval
// of 0 means only now.
func (m *Manager) RunGC(ctx context.Context, every time.Duration, failed func(error)) {
	for {
		if err := m.CollectNetworks(ctx); err != nil && ctx.Err() == nil {
			failed(err)
		}
		if every <= 0 {
			return
		}
		select {
		case <-time.After(every):
		case <-ctx.Done():
			return
		}
	}
}
