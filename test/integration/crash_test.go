package integration

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
)

const (
	crashRounds  = 20
	crashPods    = 3
	crashLongest = 900 * time.Millisecond // about what the life of the pods of a round takes
)

// TestCrash kills berthd at random moments while pods are made and taken apart. After the
// next start the lists are true to every answer that was given, retries of the calls that
// were cut off succeed, and when all is removed nothing is left.
func TestCrash(t *testing.T) {
	own(t, daemon.Options{}, func(t *testing.T, d *daemon.Daemon) {
		seed := uint64(time.Now().UnixNano())
		t.Logf("seed %d", seed)
		random := rand.New(rand.NewPCG(seed, 0))
		for round := range crashRounds {
			crashRound(t, d, round, time.Duration(random.Int64N(int64(crashLongest))))
			if t.Failed() {
				return
			}
		}
	})
}

func crashRound(t *testing.T, d *daemon.Daemon, round int, after time.Duration) {
	t.Helper()
	lives := make([]*life, crashPods)
	for i := range lives {
		lives[i] = newLife(t, d)
	}
	kill := time.AfterFunc(after, func() { d.Kill(t) })
	advance(lives)
	if kill.Stop() {
		d.Kill(t) // all was over before
	}
	<-d.Exited()
	d.Start(t)
	pods, containers := listPods(t, d), listContainers(t, d)
	for _, l := range lives {
		what := fmt.Sprintf("round %d, killed after %s: cut off at %s", round, after, l.stage())
		if l.err != nil && status.Code(l.err) != codes.Unavailable {
			t.Errorf("%s: %v", what, l.err)
		}
		l.check(t, what, pods, containers)
	}
	advance(lives)
	for _, l := range lives {
		if l.err != nil {
			t.Errorf("round %d, killed after %s: going on after the restart at %s: %v", round, after, l.stage(), l.err)
		}
	}
	if left := listPods(t, d); len(left) > 0 && !t.Failed() {
		t.Errorf("round %d, killed after %s: pods left: %v", round, after, left)
	}
	if left := listContainers(t, d); len(left) > 0 && !t.Failed() {
		t.Errorf("round %d, killed after %s: containers left: %v", round, after, left)
	}
}

// advance lets all lives go on until their end or an error.
func advance(lives []*life) {
	var all sync.WaitGroup
	for _, l := range lives {
		all.Go(l.advance)
	}
	all.Wait()
}

// life is that of a pod with one container, call by call.
type life struct {
	d         *daemon.Daemon
	pod       *runtimeapi.RunPodSandboxRequest
	container *runtimeapi.CreateContainerRequest

	next   int // index of the call that comes next
	podID  string
	ctrID  string
	err    error
	stages []stage
}

// stage is a call, and what lists say of pod and container once it has been answered;
// nil is that they are not there.
type stage struct {
	name      string
	call      func(context.Context) error
	pod       *runtimeapi.PodSandboxState
	container *runtimeapi.ContainerState
}

func newLife(t *testing.T, d *daemon.Daemon) *life {
	l := &life{d: d, pod: d.PodRequest(t)}
	t.Cleanup(func() { _ = os.RemoveAll(l.pod.Config.LogDirectory) })
	l.container = (&daemon.Pod{Config: l.pod.Config}).CreateRequest(daemon.WithShell("echo started; sleep 1000"))
	ready, notReady := runtimeapi.PodSandboxState_SANDBOX_READY.Enum(), runtimeapi.PodSandboxState_SANDBOX_NOTREADY.Enum()
	created, running, exited := runtimeapi.ContainerState_CONTAINER_CREATED.Enum(),
		runtimeapi.ContainerState_CONTAINER_RUNNING.Enum(), runtimeapi.ContainerState_CONTAINER_EXITED.Enum()
	l.stages = []stage{
		{"RunPodSandbox", l.runPod, ready, nil},
		{"CreateContainer", l.create, ready, created},
		{"StartContainer", l.start, ready, running},
		{"StopContainer", l.stop, ready, exited},
		{"RemoveContainer", l.remove, ready, nil},
		{"StopPodSandbox", l.stopPod, notReady, nil},
		{"RemovePodSandbox", l.removePod, nil, nil},
	}
	return l
}

func (l *life) stage() string {
	if l.next == len(l.stages) {
		return "its end"
	}
	return l.stages[l.next].name
}

func (l *life) advance() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for l.err = nil; l.next < len(l.stages); l.next++ {
		if l.err = l.stages[l.next].call(ctx); l.err != nil {
			return
		}
	}
}

func (l *life) runPod(ctx context.Context) error {
	resp, err := l.d.Runtime.RunPodSandbox(ctx, l.pod)
	l.podID = resp.GetPodSandboxId()
	l.container.PodSandboxId = l.podID
	return err
}

func (l *life) create(ctx context.Context) error {
	resp, err := l.d.Runtime.CreateContainer(ctx, l.container)
	l.ctrID = resp.GetContainerId()
	return err
}

func (l *life) start(ctx context.Context) error {
	_, err := l.d.Runtime.StartContainer(ctx, &runtimeapi.StartContainerRequest{ContainerId: l.ctrID})
	return err
}

func (l *life) stop(ctx context.Context) error {
	_, err := l.d.Runtime.StopContainer(ctx, &runtimeapi.StopContainerRequest{ContainerId: l.ctrID})
	return err
}

func (l *life) remove(ctx context.Context) error {
	_, err := l.d.Runtime.RemoveContainer(ctx, &runtimeapi.RemoveContainerRequest{ContainerId: l.ctrID})
	return err
}

func (l *life) stopPod(ctx context.Context) error {
	_, err := l.d.Runtime.StopPodSandbox(ctx, &runtimeapi.StopPodSandboxRequest{PodSandboxId: l.podID})
	return err
}

func (l *life) removePod(ctx context.Context) error {
	_, err := l.d.Runtime.RemovePodSandbox(ctx, &runtimeapi.RemovePodSandboxRequest{PodSandboxId: l.podID})
	return err
}

// check holds the lists against what has been answered. The call that was cut off may or
// may not have had its effect.
func (l *life) check(t *testing.T, what string, pods map[string]runtimeapi.PodSandboxState, containers map[string]runtimeapi.ContainerState) {
	t.Helper()
	var allowed []stage
	if l.next > 0 {
		allowed = append(allowed, l.stages[l.next-1])
	} else {
		allowed = append(allowed, stage{})
	}
	if l.next < len(l.stages) {
		allowed = append(allowed, l.stages[l.next])
	}
	pod, container := lookUp(pods, l.podID), lookUp(containers, l.ctrID)
	podFits, containerFits := false, false
	for _, s := range allowed {
		podFits = podFits || l.podID == "" || equal(pod, s.pod)
		containerFits = containerFits || l.ctrID == "" || equal(container, s.container)
	}
	if !podFits {
		t.Errorf("%s: pod %s is %v, want that of %q or %q", what, l.podID, describe(pod), allowed[0].name, allowed[len(allowed)-1].name)
	}
	if !containerFits {
		t.Errorf("%s: container %s is %v, want that of %q or %q", what, l.ctrID, describe(container), allowed[0].name, allowed[len(allowed)-1].name)
	}
}

func lookUp[S any](list map[string]S, id string) *S {
	if state, ok := list[id]; ok {
		return &state
	}
	return nil
}

func equal[S comparable](a, b *S) bool { return a == b || a != nil && b != nil && *a == *b }

func describe[S any](state *S) string {
	if state == nil {
		return "not listed"
	}
	return fmt.Sprint(*state)
}
