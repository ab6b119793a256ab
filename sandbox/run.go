package sandbox

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/klog/v2"

	"github.com/berth-run/berth/container/ocispec"
	"github.com/berth-run/berth/internal/flight"
	"github.com/berth-run/berth/internal/steps"
)

// idLength is how many hexadecimal digits an ID has.
const idLength = 64

// NewID makes the ID of a pod or container: 64 hexadecimal digits, the form that
// tools which look for container IDs in cgroup paths expect.
func NewID() string {
	b := make([]byte, idLength/2)
	_, _ = rand.Read(b) // never fails, see crypto/rand
	return hex.EncodeToString(b)
}

// key identifies the request for a pod among retries: what the kubelet keeps the
// same when it asks again.
func key(meta *runtimeapi.PodSandboxMetadata) string {
	return fmt.Sprintf("%s/%s/%s/%d", meta.GetUid(), meta.GetNamespace(), meta.GetName(), meta.GetAttempt())
}

// describe names a pod in messages.
func describe(meta *runtimeapi.PodSandboxMetadata) string {
	return fmt.Sprintf("pod %s/%s (attempt %d)", meta.GetNamespace(), meta.GetName(), meta.GetAttempt())
}

// Run makes a pod and returns its ID (CRI RunPodSandbox). The same request again
// joins one that is under way, and gets the ID of a pod that is ready. A different
// request for the same metadata, or one for a pod that was stopped, is
// errdefs.ErrAlreadyExists; a request that makes no sense is ErrInvalidArgument,
// refused before any effect.
func (m *Manager) Run(ctx context.Context, config *runtimeapi.PodSandboxConfig, handlerName string) (string, error) {
	s, err := m.prepare(config, handlerName)
	if err != nil {
		return "", err
	}
	what := "RunPodSandbox of " + describe(config.GetMetadata())
	return m.flights.Do(ctx, key(config.GetMetadata()), what, func(ctx context.Context, call *flight.Call) (string, error) {
		ctx, cancel := m.bounded(ctx)
		defer cancel()
		if id, err := m.existing(ctx, config, handlerName); id != "" || err != nil {
			return id, err
		}
		call.SetStage("waiting for a turn")
		giveBack, err := m.turn(ctx, s)
		if err != nil {
			return "", err
		}
		defer giveBack()
		return s.ID, m.up(ctx, s, call)
	})
}

// prepare validates the request and makes the object, without side effects.
func (m *Manager) prepare(config *runtimeapi.PodSandboxConfig, handlerName string) (*Sandbox, error) {
	h, err := m.Handlers.Get(handlerName)
	if err != nil {
		return nil, err
	}
	if err := m.validate(config, h); err != nil {
		return nil, fmt.Errorf("%s: %w", describe(config.GetMetadata()), err)
	}
	raw, err := proto.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("%s: encode the configuration: %w: %w", describe(config.GetMetadata()), err, errdefs.ErrInvalidArgument)
	}
	s := &Sandbox{
		ID:          NewID(),
		Config:      config,
		Handler:     h,
		HandlerName: handlerName,
		CreatedAt:   time.Now(),
		hidden:      true,
	}
	s.record = Record{Version: RecordVersion, Config: raw, Handler: handlerName, CreatedAt: s.CreatedAt, Phase: Creating}
	return s, m.place(s)
}

// place derives the pod's cgroup.
func (m *Manager) place(s *Sandbox) (err error) {
	s.CgroupParent, s.ownCgroup, err = m.Cgroups.PodParent(s.Config.GetLinux().GetCgroupParent(), s.ID)
	return err
}

// existing answers a request whose key is taken. A pod that could not be made, and not
// be undone either, is undone now: its name is not reserved.
func (m *Manager) existing(ctx context.Context, config *runtimeapi.PodSandboxConfig, handlerName string) (string, error) {
	m.mu.Lock()
	s := m.byKey[key(config.GetMetadata())]
	m.mu.Unlock()
	if s == nil {
		return "", nil
	}
	name := describe(config.GetMetadata())
	if s.Phase() == Creating {
		if err := m.Remove(ctx, s.ID); err != nil {
			return "", fmt.Errorf("undo what an earlier try left of it: %w", err)
		}
		return "", nil
	}
	if !s.Ready() {
		return "", fmt.Errorf("%s exists as sandbox %s and is stopped: remove it, or ask for the next attempt: %w", name, s.ID, errdefs.ErrAlreadyExists)
	}
	if s.HandlerName != handlerName || !proto.Equal(s.Config, config) {
		return "", fmt.Errorf("%s exists as sandbox %s with another configuration: %w", name, s.ID, errdefs.ErrAlreadyExists)
	}
	return s.ID, nil
}

// up builds the pod; on failure nothing of it is left, or it is listed as not
// ready, so that somebody can remove it.
func (m *Manager) up(ctx context.Context, s *Sandbox, call *flight.Call) error {
	name := describe(s.Config.GetMetadata())
	process, mount, err := ocispec.SELinuxLabels(s.Config.GetLinux().GetSecurityContext().GetSelinuxOptions(), m.Host, m.specDefaults())
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	s.record.ProcessLabel, s.record.MountLabel = process, mount
	s.record.Ignored = m.ignored(s.Config)
	if err := m.addWithPorts(s); err != nil {
		if process != "" {
			ocispec.ReleaseSELinuxLabel(process)
		}
		return fmt.Errorf("%s: %w", name, err)
	}
	err = m.planOf("RunPodSandbox", m.plan(s), call.SetStage).Up(ctx)
	if err != nil {
		m.settleFailed(ctx, s)
		return fmt.Errorf("%s: %w", name, err)
	}
	s.set(func() { s.hidden = false })
	klog.FromContext(ctx).Info("Pod is ready", "pod", klog.KRef(s.Config.Metadata.Namespace, s.Config.Metadata.Name), "id", s.ID, "ips", s.IPs())
	m.changed(s, runtimeapi.ContainerEventType_CONTAINER_CREATED_EVENT)
	m.changed(s, runtimeapi.ContainerEventType_CONTAINER_STARTED_EVENT)
	return nil
}

// settleFailed decides what becomes of a pod that could not be made. The undo has
// run; when it succeeded the record is gone or a tombstone.
func (m *Manager) settleFailed(ctx context.Context, s *Sandbox) {
	if s.Phase() == Removed || !m.recorded(ctx, s) {
		m.forget(s)
		return
	}
	// Something could not be undone: show the pod, so that it gets removed.
	s.set(func() { s.hidden, s.stopped = false, true })
	m.running.Go(func() { m.settleLater(s) })
}

// settlePause is how often containerd is asked again that could not be.
const settlePause = 500 * time.Millisecond

// settleLater makes a pod whose record may never have been written go when containerd,
// which was away, says that there is none.
func (m *Manager) settleLater(s *Sandbox) {
	for m.ctx.Err() == nil && s.Phase() == Creating {
		_, err := m.client.SandboxStore().Get(engineContext(m.ctx), s.ID)
		switch {
		case errdefs.IsNotFound(err):
			m.forget(s)
			return
		case err == nil:
			return
		}
		select {
		case <-time.After(settlePause):
		case <-m.ctx.Done():
		}
	}
}

func (m *Manager) recorded(ctx context.Context, s *Sandbox) bool {
	_, err := m.client.SandboxStore().Get(engineContext(ctx), s.ID)
	return !errdefs.IsNotFound(err)
}

func (m *Manager) planOf(operation string, root steps.Node, stage func(string)) steps.Plan {
	return steps.Plan{Operation: operation, Root: root, Observe: m.Observe, Stage: stage, Failpoints: m.Failpoints}
}

func (m *Manager) add(s *Sandbox) {
	m.mu.Lock()
	m.byKey[key(s.Config.GetMetadata())] = s
	m.mu.Unlock()
	m.pods.Put(s.ID, s)
}

func (m *Manager) forget(s *Sandbox) {
	m.mu.Lock()
	if k := key(s.Config.GetMetadata()); m.byKey[k] == s {
		delete(m.byKey, k)
	}
	m.mu.Unlock()
	m.pods.Delete(s.ID)
	if label, _ := s.Labels(); label != "" {
		ocispec.ReleaseSELinuxLabel(label)
	}
}
