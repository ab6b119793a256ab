package faults

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
	"github.com/berth-run/berth/test/images"
)

// kubelet looks after one pod with one container, as the real one does in kuberuntime: what it knows it
// asks for anew each time, a pod without a ready sandbox gets the next attempt once the others are stopped, and
// a container that does not run, one in CREATED too, is made anew as the next attempt (ShouldContainerBeRestarted).
type kubelet struct {
	d   *daemon.Daemon
	pod *runtimeapi.PodSandboxConfig
	dir string // the volume that attempts share
	*deeds
}

// deeds counts what all kubelets of a test did.
type deeds struct {
	calls, givenUp, failed, pods, starts atomic.Int64
	calm                                 atomic.Bool // no call is given up any more
}

func newKubelet(d *daemon.Daemon, name, dir string, n *deeds) *kubelet {
	return &kubelet{d: d, dir: dir, deeds: n, pod: &runtimeapi.PodSandboxConfig{
		Metadata:     &runtimeapi.PodSandboxMetadata{Name: name, Namespace: "chaos", Uid: "uid-" + name},
		LogDirectory: filepath.Join(d.Dir, "logs", name),
		Linux:        &runtimeapi.LinuxPodSandboxConfig{},
	}}
}

// witness tells of two that run at once: an attempt holds a lock as long as a process of it lives.
const witness = `exec 9>/shared/lock; flock -n 9 || echo "attempt $0 began beside another" >>/shared/twice
echo "$0" >>/shared/began; exec sleep 1000`

func (k *kubelet) container(n uint32) *runtimeapi.ContainerConfig {
	return &runtimeapi.ContainerConfig{
		Metadata: &runtimeapi.ContainerMetadata{Name: "app", Attempt: n},
		Image:    &runtimeapi.ImageSpec{Image: images.Busybox},
		Command:  []string{"sh", "-c", witness, fmt.Sprint(n)},
		LogPath:  fmt.Sprintf("app/%d.log", n),
		Mounts:   []*runtimeapi.Mount{{HostPath: k.dir, ContainerPath: "/shared"}},
		Linux:    &runtimeapi.LinuxContainerConfig{},
	}
}

// call makes a call that may be given up at any time.
func (k *kubelet) call(ctx context.Context, call func(context.Context) error) error {
	ctx, giveUp := context.WithTimeout(ctx, callBound)
	defer giveUp()
	if !k.calm.Load() && rand.N(3) == 0 {
		defer time.AfterFunc(rand.N(150*time.Millisecond), giveUp).Stop()
	}
	err := call(ctx)
	k.calls.Add(1)
	switch {
	case ctx.Err() != nil:
		k.givenUp.Add(1)
	case err != nil:
		k.failed.Add(1)
	}
	return err
}

// known are the sandboxes and containers of the pod, newest first.
func (k *kubelet) known(ctx context.Context) (pods []*runtimeapi.PodSandbox, ctrs []*runtimeapi.Container, err error) {
	all, err := k.d.Runtime.ListPodSandbox(ctx, &runtimeapi.ListPodSandboxRequest{})
	if err != nil {
		return nil, nil, err
	}
	mine := map[string]bool{}
	for _, p := range all.GetItems() {
		if p.GetMetadata().GetUid() == k.pod.GetMetadata().GetUid() {
			pods, mine[p.GetId()] = append(pods, p), true
		}
	}
	list, err := k.d.Runtime.ListContainers(ctx, &runtimeapi.ListContainersRequest{})
	if err != nil {
		return nil, nil, err
	}
	for _, c := range list.GetContainers() {
		if mine[c.GetPodSandboxId()] {
			ctrs = append(ctrs, c)
		}
	}
	slices.SortFunc(pods, func(a, b *runtimeapi.PodSandbox) int { return cmp.Compare(b.GetCreatedAt(), a.GetCreatedAt()) })
	slices.SortFunc(ctrs, func(a, b *runtimeapi.Container) int { return cmp.Compare(b.GetCreatedAt(), a.GetCreatedAt()) })
	return pods, ctrs, nil
}

// sync does what is to be done for the pod now. It reports whether the container runs; the error is for
// what must never be seen, calls may fail.
func (k *kubelet) sync(ctx context.Context) (runs bool, err error) {
	pods, ctrs, lerr := k.known(ctx)
	if lerr != nil {
		return false, nil
	}
	ready, running := states(pods, ctrs)
	switch {
	case len(ready) > 1:
		return false, fmt.Errorf("pod %s: %d sandboxes are ready", k.pod.GetMetadata().GetName(), len(ready))
	case len(running) > 1:
		return false, fmt.Errorf("pod %s: %d attempts of its container are said to run", k.pod.GetMetadata().GetName(), len(running))
	case len(ready) == 0:
		k.nextPod(ctx, pods)
		return false, nil
	}
	k.collect(ctx, pods, ctrs)
	newest := &runtimeapi.Container{}
	if len(ctrs) > 0 {
		newest = ctrs[0]
	}
	if newest.GetState() == runtimeapi.ContainerState_CONTAINER_RUNNING && newest.GetPodSandboxId() == ready[0] {
		k.disturb(ctx, ready[0], newest.GetId())
		return true, nil
	}
	k.nextContainer(ctx, ready[0], newest)
	return false, nil
}

func states(pods []*runtimeapi.PodSandbox, ctrs []*runtimeapi.Container) (ready, running []string) {
	for _, p := range pods {
		if p.GetState() == runtimeapi.PodSandboxState_SANDBOX_READY {
			ready = append(ready, p.GetId())
		}
	}
	for _, c := range ctrs {
		if c.GetState() == runtimeapi.ContainerState_CONTAINER_RUNNING {
			running = append(running, c.GetId())
		}
	}
	return ready, running
}

// nextPod stops every sandbox of the pod and runs the next attempt.
func (k *kubelet) nextPod(ctx context.Context, old []*runtimeapi.PodSandbox) {
	config := k.pod
	for _, p := range old {
		if k.call(ctx, func(ctx context.Context) error { return k.stopPod(ctx, p.GetId()) }) != nil {
			return
		}
	}
	config.Metadata.Attempt = 0
	if len(old) > 0 {
		config.Metadata.Attempt = old[0].GetMetadata().GetAttempt() + 1
	}
	k.pods.Add(1)
	_ = k.call(ctx, func(ctx context.Context) error {
		_, err := k.d.Runtime.RunPodSandbox(ctx, &runtimeapi.RunPodSandboxRequest{Config: config})
		return err
	})
}

// nextContainer makes the attempt after the newest and starts it.
func (k *kubelet) nextContainer(ctx context.Context, podID string, newest *runtimeapi.Container) {
	n := uint32(0)
	if newest.GetId() != "" {
		n = newest.GetMetadata().GetAttempt() + 1
	}
	id := ""
	if k.call(ctx, func(ctx context.Context) error {
		r, err := k.d.Runtime.CreateContainer(ctx, &runtimeapi.CreateContainerRequest{
			PodSandboxId: podID, Config: k.container(n), SandboxConfig: k.pod})
		id = r.GetContainerId()
		return err
	}) != nil {
		return
	}
	k.starts.Add(1)
	_ = k.call(ctx, func(ctx context.Context) error {
		_, err := k.d.Runtime.StartContainer(ctx, &runtimeapi.StartContainerRequest{ContainerId: id})
		return err
	})
}

// disturb ends what runs, at times: as a failed probe, or a sandbox that has to be made anew.
func (k *kubelet) disturb(ctx context.Context, podID, id string) {
	if k.calm.Load() {
		return
	}
	switch rand.N(8) {
	case 0:
		_ = k.call(ctx, func(ctx context.Context) error { return k.stopPod(ctx, podID) })
	case 1, 2, 3:
		_ = k.call(ctx, func(ctx context.Context) error {
			_, err := k.d.Runtime.StopContainer(ctx, &runtimeapi.StopContainerRequest{ContainerId: id})
			return err
		})
	}
}

// collect removes, at times, what does not run and is not the newest.
func (k *kubelet) collect(ctx context.Context, pods []*runtimeapi.PodSandbox, ctrs []*runtimeapi.Container) {
	for i, c := range ctrs {
		if i > 0 && c.GetState() != runtimeapi.ContainerState_CONTAINER_RUNNING && rand.N(3) == 0 {
			_ = k.call(ctx, func(ctx context.Context) error {
				_, err := k.d.Runtime.RemoveContainer(ctx, &runtimeapi.RemoveContainerRequest{ContainerId: c.GetId()})
				return err
			})
		}
	}
	for i, p := range pods {
		if i > 0 && p.GetState() != runtimeapi.PodSandboxState_SANDBOX_READY && rand.N(3) == 0 {
			_ = k.call(ctx, func(ctx context.Context) error {
				_, err := k.d.Runtime.RemovePodSandbox(ctx, &runtimeapi.RemovePodSandboxRequest{PodSandboxId: p.GetId()})
				return err
			})
		}
	}
}

func (k *kubelet) stopPod(ctx context.Context, id string) error {
	_, err := k.d.Runtime.StopPodSandbox(ctx, &runtimeapi.StopPodSandboxRequest{PodSandboxId: id})
	return err
}
