package pod

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/bench/acct"
	"github.com/berth-run/berth/test/bench/content"
	"github.com/berth-run/berth/test/bench/side"
)

// Grace is what the kubelet gives a container by default, in seconds.
const Grace = 30

// Pod is a pod with one container.
type Pod struct {
	Side *side.Side
	Name string
	// ID and ContainerID are empty until the runtime has given them.
	ID, ContainerID string
	// Start and Teardown are how long the calls took.
	Start    StartTimes
	Teardown TeardownTimes

	spec    Spec
	files   files
	sandbox *runtimeapi.PodSandboxConfig
}

// StartTimes are those of the three calls that start a pod.
type StartTimes struct{ Run, Create, Start time.Duration }

// Sum of the three.
func (t StartTimes) Sum() time.Duration { return t.Run + t.Create + t.Start }

// TeardownTimes are those of the three calls that end it.
type TeardownTimes struct{ StopContainer, StopPod, Remove time.Duration }

// Sum of the three.
func (t TeardownTimes) Sum() time.Duration { return t.StopContainer + t.StopPod + t.Remove }

// New prepares a pod: what the kubelet does before it calls, and nobody's time.
func New(s *side.Side, spec Spec) (*Pod, error) {
	n := number.Add(1)
	p := &Pod{Side: s, Name: fmt.Sprintf("bench-%d", n), spec: spec}
	var err error
	if p.files, err = makeFiles(s, p.Name); err != nil {
		return nil, err
	}
	p.sandbox = sandboxConfig(s, p.Name, spec, p.files)
	return p, acct.MakePod(p.cgroup())
}

func (p *Pod) cgroup() string { return p.Side.Group.Pods() + "/" + p.Name }

// ContainerCgroup is where the container's processes are, with the cgroupfs driver.
func (p *Pod) ContainerCgroup() string { return p.cgroup() + "/" + p.ContainerID }

// LogFile of the container.
func (p *Pod) LogFile() string { return filepath.Join(p.files.logs, "main", "0.log") }

// Run starts the pod and times it.
func (p *Pod) Run(ctx context.Context) error {
	began := time.Now()
	sandbox, err := p.Side.Runtime.RunPodSandbox(ctx, &runtimeapi.RunPodSandboxRequest{Config: p.sandbox})
	if err != nil {
		return p.failed("RunPodSandbox", err)
	}
	ran := time.Now()
	p.ID = sandbox.GetPodSandboxId()
	created, err := p.Side.Runtime.CreateContainer(ctx, &runtimeapi.CreateContainerRequest{
		PodSandboxId: p.ID, SandboxConfig: p.sandbox, Config: containerConfig(p.spec, p.files, p.Side.Ref(content.Workload), p.sandbox),
	})
	if err != nil {
		return p.failed("CreateContainer", err)
	}
	made := time.Now()
	p.ContainerID = created.GetContainerId()
	if _, err := p.Side.Runtime.StartContainer(ctx, &runtimeapi.StartContainerRequest{ContainerId: p.ContainerID}); err != nil {
		return p.failed("StartContainer", err)
	}
	p.Start = StartTimes{ran.Sub(began), made.Sub(ran), time.Since(made)}
	return nil
}

// readyTimeout is how long a container that was started may take to say that it is ready.
const readyTimeout = 20 * time.Second

// AwaitReady returns when the container has said that it is ready. Before that it has no
// handler for SIGTERM, which the kernel then keeps from process 1: stopping it would take
// the grace period.
func (p *Pod) AwaitReady(ctx context.Context) error {
	for deadline := time.Now().Add(readyTimeout); ; {
		if info, err := os.Stat(p.LogFile()); err == nil && info.Size() > 0 {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: the container of %s did not get ready within %s", p.Side.Name, p.Name, readyTimeout)
		}
		time.Sleep(time.Millisecond)
	}
}

// End stops and removes the pod and times it. It removes also what Run began and did not
// finish.
func (p *Pod) End(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	began := time.Now()
	if p.ContainerID != "" {
		_, err := p.Side.Runtime.StopContainer(ctx, &runtimeapi.StopContainerRequest{ContainerId: p.ContainerID, Timeout: Grace})
		if err != nil {
			return p.failed("StopContainer", err)
		}
	}
	container := time.Now()
	if p.ID == "" {
		return p.tidy()
	}
	if _, err := p.Side.Runtime.StopPodSandbox(ctx, &runtimeapi.StopPodSandboxRequest{PodSandboxId: p.ID}); err != nil {
		return p.failed("StopPodSandbox", err)
	}
	stopped := time.Now()
	if _, err := p.Side.Runtime.RemovePodSandbox(ctx, &runtimeapi.RemovePodSandboxRequest{PodSandboxId: p.ID}); err != nil {
		return p.failed("RemovePodSandbox", err)
	}
	p.Teardown = TeardownTimes{container.Sub(began), stopped.Sub(container), time.Since(stopped)}
	return p.tidy()
}

// tidy removes what New made.
func (p *Pod) tidy() error {
	p.files.remove()
	return acct.RemovePod(p.cgroup())
}

func (p *Pod) failed(call string, err error) error {
	return fmt.Errorf("%s: %s of %s: %w", p.Side.Name, call, p.Name, err)
}

// Cycle runs a pod and ends it again once its container is ready.
func Cycle(ctx context.Context, s *side.Side, spec Spec) (*Pod, error) {
	p, err := New(s, spec)
	if err != nil {
		return nil, err
	}
	if err = p.Run(ctx); err == nil {
		err = p.AwaitReady(ctx)
	}
	return p, errors.Join(err, p.End(ctx))
}

// ContainerPID is the first process of the container, as the host numbers it.
func (p *Pod) ContainerPID() (int, error) {
	for _, pid := range acct.PIDs(p.ContainerCgroup()) {
		if strings.HasPrefix(acct.CommandLine(pid), content.Program) {
			return pid, nil
		}
	}
	return 0, fmt.Errorf("%s: %s has no process of %s", p.Side.Name, p.ContainerCgroup(), content.Program)
}

// Pull pulls an image of the benchmark.
func Pull(ctx context.Context, s *side.Side, ref string) error {
	spec := &runtimeapi.ImageSpec{Image: s.Ref(ref)}
	if _, err := s.Image.PullImage(ctx, &runtimeapi.PullImageRequest{Image: spec}); err != nil {
		return fmt.Errorf("%s: pulling %s: %w", s.Name, ref, err)
	}
	return nil
}

func cut(pair string) (key, value string) {
	key, value, _ = strings.Cut(pair, "=")
	return key, value
}
