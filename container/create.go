package container

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/klog/v2"

	"github.com/berth-run/berth/container/ocispec"
	"github.com/berth-run/berth/imageservice"
	"github.com/berth-run/berth/internal/flight"
	"github.com/berth-run/berth/internal/steps"
	"github.com/berth-run/berth/sandbox"
)

// creation is what making one container needs besides the container itself.
type creation struct {
	*Container
	image *imageservice.Image
	out   *ocispec.Output // nil until the spec is made
	// sharesVolumes says that the spec got other sources for some of the image's volumes after it was recorded.
	sharesVolumes bool
}

// Create makes a container in a pod and returns its ID (CRI CreateContainer). The
// same request again joins one that is under way, and gets the ID of a container
// that has not ended. Other requests for the same metadata are
// errdefs.ErrAlreadyExists; a request that makes no sense is ErrInvalidArgument,
// refused before any effect.
func (m *Manager) Create(ctx context.Context, podID string, config *runtimeapi.ContainerConfig, podConfig *runtimeapi.PodSandboxConfig) (string, error) {
	pod, err := m.pods.Get(podID)
	if err != nil {
		return "", err
	}
	if err := m.validate(pod, config, podConfig); err != nil {
		return "", err
	}
	what := fmt.Sprintf("CreateContainer of %q in pod sandbox %s", config.GetMetadata().GetName(), pod.ID)
	return m.flights.Do(ctx, "create/"+key(pod.ID, config.GetMetadata()), what, func(ctx context.Context, call *flight.Call) (string, error) {
		ctx, cancel := m.bounded(ctx)
		defer cancel()
		if id, err := m.existing(ctx, pod, config); id != "" || err != nil {
			return id, err
		}
		call.SetStage("giving up starts of older attempts")
		if err := m.retireOlder(ctx, pod, config); err != nil {
			return "", err
		}
		if err := m.attemptAllowed(pod, config); err != nil {
			return "", err
		}
		// Looks at the paths of mounts and reads the image's users: that may wait for a file system, and so
		// comes before the turn.
		call.SetStage("preparing")
		n, err := m.prepare(ctx, pod, config)
		if err != nil {
			return "", fmt.Errorf("container %q of %s: %w", config.GetMetadata().GetName(), podName(pod), err)
		}
		giveBack, err := m.turn(ctx, call)
		if err != nil {
			return "", err
		}
		defer giveBack()
		return m.create(ctx, n, call)
	})
}

// validate refuses a request that cannot work, before any effect.
func (m *Manager) validate(pod *sandbox.Sandbox, config *runtimeapi.ContainerConfig, podConfig *runtimeapi.PodSandboxConfig) error {
	switch {
	case config == nil:
		return fmt.Errorf("config is missing: %w", errdefs.ErrInvalidArgument)
	case config.GetMetadata().GetName() == "":
		return fmt.Errorf("config.metadata.name is missing: %w", errdefs.ErrInvalidArgument)
	case config.GetImage().GetImage() == "":
		return fmt.Errorf("config.image.image is missing: %w", errdefs.ErrInvalidArgument)
	case podConfig == nil:
		return fmt.Errorf("sandbox_config is missing: %w", errdefs.ErrInvalidArgument)
	}
	if err := ocispec.Validate(config, pod.Config); err != nil {
		return err
	}
	if err := ocispec.ValidatePrivileged(config, podConfig); err != nil {
		return err
	}
	if !pod.Ready() {
		return precondition("pod sandbox %s is not ready, no container can be made in it", pod.ID)
	}
	return nil
}

// existing answers a request whose key is taken. A container that could not be made, and
// not be undone either, is undone now: its name is not reserved.
func (m *Manager) existing(ctx context.Context, pod *sandbox.Sandbox, config *runtimeapi.ContainerConfig) (string, error) {
	m.mu.Lock()
	c := m.byKey[key(pod.ID, config.GetMetadata())]
	m.mu.Unlock()
	if c == nil {
		return "", nil
	}
	if c.halfMade() {
		if err := m.remove(ctx, c); err != nil {
			return "", fmt.Errorf("undo what an earlier try left of it: %w", err)
		}
		return "", nil
	}
	if c.State() == runtimeapi.ContainerState_CONTAINER_EXITED {
		return "", fmt.Errorf("%s exists as %s and has ended: remove it, or ask for the next attempt: %w", c.Name(), c.ID, errdefs.ErrAlreadyExists)
	}
	if !proto.Equal(c.Config, config) {
		return "", fmt.Errorf("%s exists as %s with another configuration: %w", c.Name(), c.ID, errdefs.ErrAlreadyExists)
	}
	return c.ID, nil
}

func (m *Manager) create(ctx context.Context, n *creation, call *flight.Call) (string, error) {
	// Whoever stops or removes the pod waits for its containers, and so for this one. A
	// pod that is stopped before it is known to have this one does not get it.
	done, err := n.acquire(ctx)
	if err != nil {
		return "", err
	}
	defer done()
	if err := m.addAllowed(n.Container); err != nil {
		return "", err
	}
	if !n.Pod.Ready() {
		m.forget(n.Container)
		return "", precondition("pod sandbox %s is not ready any more, no container can be made in it", n.Pod.ID)
	}
	if err := m.planOf("CreateContainer", m.createPlan(n), call.SetStage).Up(ctx); err != nil {
		m.settleFailed(ctx, n.Container, err)
		return "", fmt.Errorf("%s: %w", n.Name(), err)
	}
	n.set(func() { n.hidden = false })
	m.announce(n.Container, runtimeapi.ContainerEventType_CONTAINER_CREATED_EVENT)
	return n.ID, nil
}

// settleFailed decides what becomes of a container that could not be made. Where
// the undo succeeded its record is gone, and nothing is left; else it is shown, so that
// it gets removed.
func (m *Manager) settleFailed(ctx context.Context, c *Container, err error) {
	if !m.recorded(ctx, c) {
		m.forget(c)
		return
	}
	c.set(func() {
		c.hidden, c.failed = false, true
		c.record.Phase = Exited
		c.record.Exit = &Exit{FinishedAt: time.Now(), Code: exitCannotRun, Reason: ReasonCannotRun, Message: err.Error()}
	})
	m.running.Go(func() { m.settleLater(c) })
}

// prepare finds the image and makes the objects, with no effect but that the
// image may get unpacked.
func (m *Manager) prepare(ctx context.Context, pod *sandbox.Sandbox, config *runtimeapi.ContainerConfig) (*creation, error) {
	image, err := m.Images.Resolve(config.GetImage())
	if err != nil {
		return nil, err
	}
	if err := m.Images.EnsureUnpacked(ctx, image, pod.Handler.Snapshotter); err != nil {
		return nil, err
	}
	raw, err := proto.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("encode the configuration: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	record := Record{
		Version: RecordVersion, Config: raw, PodID: pod.ID, CreatedAt: time.Now(), Phase: Creating,
		ImageID: image.ID, ImageRef: image.ID, ImageName: image.NameFor(config.GetImage()),
	}
	if len(image.RepoDigests) > 0 {
		record.ImageRef = image.RepoDigests[0]
	}
	c := newContainer(sandbox.NewID(), pod, config, record)
	c.hidden = true
	c.CgroupsPath = m.Cgroups.ContainerPath(pod.CgroupParent, c.ID)
	n := &creation{Container: c, image: image}
	if c.record.ImageMounts, err = m.imageMounts(n); err != nil {
		return nil, err
	}
	if len(c.record.ImageMounts) > 0 {
		return n, nil // the spec needs the mounts, see createPlan
	}
	return n, m.buildSpec(ctx, n)
}

// buildSpec makes the OCI spec and takes from it what the record keeps.
func (m *Manager) buildSpec(ctx context.Context, n *creation) error {
	user, err := m.resolveUser(ctx, n)
	if err != nil {
		return err
	}
	target, err := m.targetPID(n.Container)
	if err != nil {
		return err
	}
	n.out, err = ocispec.Build(ocispec.Input{
		ContainerID:  n.ID,
		ContainerDir: filepath.Dir(m.paths.ContainerVolumes(n.ID)),
		Sandbox:      m.specSandbox(n.Pod),
		Config:       n.Config,
		Image:        ocispec.Image{Name: n.imageName(), Config: n.image.Config.Config},
		User:         user,
		TargetPID:    target,
		CgroupsPath:  n.CgroupsPath,
		ImageMounts:  m.imageMountDirs(n.Container),
		Runtime:      n.Pod.Handler.Spec,
		Defaults:     m.specDefaults(),
		Host:         m.Host,
		CDI:          m.CDI,
	})
	if err != nil {
		return err
	}
	for _, w := range n.out.Warnings {
		klog.FromContext(ctx).Info("The container gets less than it asked for", "container", n.Name(), "id", n.ID, "what", w)
	}
	n.record.Ignored = n.out.Warnings
	n.record.StopSignal = n.out.StopSignal
	n.record.User = n.out.User
	n.record.Resources = ocispec.ToCRI(n.out.Spec)
	return nil
}

// specSandbox is what a container takes from its pod.
func (m *Manager) specSandbox(pod *sandbox.Sandbox) ocispec.Sandbox {
	process, mount := pod.Labels()
	return ocispec.Sandbox{
		ID:             pod.ID,
		Config:         pod.Config,
		Namespaces:     m.pods.Namespaces(pod),
		ShmPath:        m.pods.ShmPath(pod),
		HostsPath:      m.paths.PodHosts(pod.ID),
		ResolvConfPath: m.paths.PodResolvConf(pod.ID),
		HostnamePath:   m.paths.PodHostname(pod.ID),
		ProcessLabel:   process,
		MountLabel:     mount,
		RuntimeHandler: pod.HandlerName,
	}
}

// targetPID is the process whose PID namespace the container joins (pid mode TARGET).
func (m *Manager) targetPID(c *Container) (uint32, error) {
	o := c.Config.GetLinux().GetSecurityContext().GetNamespaceOptions()
	if o.GetPid() != runtimeapi.NamespaceMode_TARGET {
		return 0, nil
	}
	target, err := m.Get(o.GetTargetId())
	if err != nil {
		return 0, fmt.Errorf("namespace_options.target_id: %w", err)
	}
	if target.Pod != c.Pod {
		return 0, fmt.Errorf("namespace_options.target_id %s is in another pod: %w", target.ID, errdefs.ErrInvalidArgument)
	}
	pid := target.PID()
	if pid == 0 {
		return 0, precondition("namespace_options.target_id %s does not run", target.ID)
	}
	return pid, nil
}

func (m *Manager) planOf(operation string, root steps.Node, stage func(string)) steps.Plan {
	return steps.Plan{Operation: operation, Root: root, Observe: m.Observe, Stage: stage, Failpoints: m.Failpoints}
}

func podName(pod *sandbox.Sandbox) string {
	return fmt.Sprintf("pod %s/%s", pod.Config.GetMetadata().GetNamespace(), pod.Config.GetMetadata().GetName())
}

// emptySpec stands in the record until the real spec can be made.
func emptySpec() *specs.Spec { return &specs.Spec{Version: specs.Version} }
