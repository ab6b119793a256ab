package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
	"github.com/berth-run/berth/test/host"
	"github.com/berth-run/berth/test/images"
)

// callBound is how long any call may take, a restart of containerd included.
const callBound = 45 * time.Second

// world is a daemon, and one pod with one container that a test works on.
type world struct {
	d      *daemon.Daemon
	before host.Snapshot

	pod       *runtimeapi.RunPodSandboxRequest
	container *runtimeapi.CreateContainerRequest
	podID     string
	ctrID     string
	image     string
}

// newWorld makes requests that differ from all others. The pod has everything a pod can
// have: an init process, a published port; so has the container: volumes, a mounted image.
func newWorld(d *daemon.Daemon, before host.Snapshot, name string) *world {
	dir := fmt.Sprintf("%s/logs/%s", d.Dir, name)
	pod := &runtimeapi.PodSandboxConfig{
		Metadata:     &runtimeapi.PodSandboxMetadata{Name: name, Namespace: "faults", Uid: "uid-" + name},
		Hostname:     "faults",
		LogDirectory: dir,
		PortMappings: []*runtimeapi.PortMapping{{ContainerPort: 80, HostPort: 18080 + boolInt(d.External)}},
		Linux: &runtimeapi.LinuxPodSandboxConfig{SecurityContext: &runtimeapi.LinuxSandboxSecurityContext{
			NamespaceOptions: &runtimeapi.NamespaceOption{Pid: runtimeapi.NamespaceMode_POD},
		}},
	}
	ctr := &runtimeapi.ContainerConfig{
		Metadata: &runtimeapi.ContainerMetadata{Name: "c"},
		Image:    &runtimeapi.ImageSpec{Image: images.Volumes},
		Command:  []string{"sh", "-c", "trap 'exit 3' TERM; echo started; sleep 1000 & wait"},
		LogPath:  "c.log",
		Mounts: []*runtimeapi.Mount{{
			ContainerPath: "/mounted", Image: &runtimeapi.ImageSpec{Image: images.Busybox}, Readonly: true,
		}},
		Linux: &runtimeapi.LinuxContainerConfig{SecurityContext: &runtimeapi.LinuxContainerSecurityContext{
			NamespaceOptions: &runtimeapi.NamespaceOption{Pid: runtimeapi.NamespaceMode_POD},
		}},
	}
	return &world{
		d: d, before: before, image: images.Whiteout,
		pod:       &runtimeapi.RunPodSandboxRequest{Config: pod},
		container: &runtimeapi.CreateContainerRequest{Config: ctr, SandboxConfig: pod},
	}
}

func boolInt(b bool) int32 {
	if b {
		return 1
	}
	return 0
}

func (w *world) run(ctx context.Context) error {
	resp, err := w.d.Runtime.RunPodSandbox(ctx, w.pod)
	if err == nil {
		w.podID = resp.GetPodSandboxId()
		w.container.PodSandboxId = w.podID
	}
	return err
}

func (w *world) create(ctx context.Context) error {
	resp, err := w.d.Runtime.CreateContainer(ctx, w.container)
	if err == nil {
		w.ctrID = resp.GetContainerId()
	}
	return err
}

func (w *world) start(ctx context.Context) error {
	_, err := w.d.Runtime.StartContainer(ctx, &runtimeapi.StartContainerRequest{ContainerId: w.ctrID})
	return err
}

// startAgain is what the kubelet does about a container that could not be started: the
// next attempt.
func (w *world) startAgain(ctx context.Context) error {
	st, err := w.status(ctx)
	if err != nil {
		return err
	}
	if st.GetState() == runtimeapi.ContainerState_CONTAINER_EXITED {
		// A start that was undone, by this daemon or after its end, may show as SIGKILL.
		if st.GetReason() != "ContainerCannotRun" && st.GetExitCode() != 137 {
			return fmt.Errorf("ended with %s (%d), %s", st.GetReason(), st.GetExitCode(), st.GetMessage())
		}
		w.container.Config.Metadata.Attempt++
		if err := w.create(ctx); err != nil {
			return err
		}
	}
	return w.start(ctx)
}

func (w *world) stop(ctx context.Context) error {
	_, err := w.d.Runtime.StopContainer(ctx, &runtimeapi.StopContainerRequest{ContainerId: w.ctrID, Timeout: 10})
	return err
}

func (w *world) remove(ctx context.Context) error {
	_, err := w.d.Runtime.RemoveContainer(ctx, &runtimeapi.RemoveContainerRequest{ContainerId: w.ctrID})
	return err
}

func (w *world) stopPod(ctx context.Context) error {
	_, err := w.d.Runtime.StopPodSandbox(ctx, &runtimeapi.StopPodSandboxRequest{PodSandboxId: w.podID})
	return err
}

func (w *world) removePod(ctx context.Context) error {
	_, err := w.d.Runtime.RemovePodSandbox(ctx, &runtimeapi.RemovePodSandboxRequest{PodSandboxId: w.podID})
	return err
}

func (w *world) status(ctx context.Context) (*runtimeapi.ContainerStatus, error) {
	resp, err := w.d.Runtime.ContainerStatus(ctx, &runtimeapi.ContainerStatusRequest{ContainerId: w.ctrID})
	return resp.GetStatus(), err
}

// exit starts the container, which ends at once, and expects its exit code.
func (w *world) exit(ctx context.Context) error {
	st, err := w.status(ctx)
	if err != nil {
		return err
	}
	if st.GetState() == runtimeapi.ContainerState_CONTAINER_CREATED {
		if err := w.start(ctx); err != nil {
			return err
		}
	}
	for {
		if st, err = w.status(ctx); err != nil {
			return err
		}
		if st.GetState() == runtimeapi.ContainerState_CONTAINER_EXITED {
			break
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("has not ended: %w", ctx.Err())
		}
	}
	if st.GetExitCode() != 7 || st.GetReason() != "Error" {
		return fmt.Errorf("exit code %d, reason %s, %s", st.GetExitCode(), st.GetReason(), st.GetMessage())
	}
	return nil
}

func (w *world) exec(ctx context.Context) error {
	resp, err := w.d.Runtime.ExecSync(ctx, &runtimeapi.ExecSyncRequest{
		ContainerId: w.ctrID, Cmd: []string{"sh", "-c", "echo hello; exit 4"}, Timeout: 20,
	})
	if err == nil && (string(resp.GetStdout()) != "hello\n" || resp.GetExitCode() != 4) {
		err = fmt.Errorf("stdout %q, exit code %d", resp.GetStdout(), resp.GetExitCode())
	}
	return err
}

func (w *world) pull(ctx context.Context) error {
	_, err := w.d.Image.PullImage(ctx, &runtimeapi.PullImageRequest{Image: &runtimeapi.ImageSpec{Image: w.image}})
	return err
}

func (w *world) removeImage(ctx context.Context) error {
	_, err := w.d.Image.RemoveImage(ctx, &runtimeapi.RemoveImageRequest{Image: &runtimeapi.ImageSpec{Image: w.image}})
	return err
}

// running makes the pod and container and starts it.
func (w *world) running(ctx context.Context) error { return chain(ctx, w.run, w.create, w.start) }

// created makes the pod and the container.
func (w *world) created(ctx context.Context) error { return chain(ctx, w.run, w.create) }

func chain(ctx context.Context, calls ...func(context.Context) error) error {
	for _, call := range calls {
		if err := call(ctx); err != nil {
			return err
		}
	}
	return nil
}

// clear removes everything through the CRI, and expects the host as it was.
func (w *world) clear(ctx context.Context) error {
	pods, err := w.d.Runtime.ListPodSandbox(ctx, &runtimeapi.ListPodSandboxRequest{})
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range pods.GetItems() {
		if err := w.removeByID(ctx, p.GetId()); err != nil {
			errs = append(errs, fmt.Errorf("removing pod %s: %w", p.GetId(), err))
		}
	}
	left, err := w.d.Runtime.ListContainers(ctx, &runtimeapi.ListContainersRequest{})
	if n := len(left.GetContainers()); err != nil || n > 0 {
		errs = append(errs, err, fmt.Errorf("%d containers are listed after all pods were removed", n))
	}
	errs = append(errs, os.RemoveAll(w.pod.GetConfig().GetLogDirectory()), w.d.Clean(ctx, w.before))
	return errors.Join(errs...)
}

// removeByID removes a pod, again and again while an external containerd that was killed
// is not there for all who use it.
func (w *world) removeByID(ctx context.Context, id string) error {
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		_, err := w.d.Runtime.RemovePodSandbox(ctx, &runtimeapi.RemovePodSandboxRequest{PodSandboxId: id})
		if status.Code(err) != codes.Unavailable || !w.d.External || time.Now().After(end) {
			return err
		}
	}
}

// truth compares lists with what there is: nothing listed that is not there, nothing
// there that is not listed. What is done in the background after a start has a moment.
func (w *world) truth(ctx context.Context) error {
	var err error
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if err = w.compare(ctx); err == nil {
			return nil
		}
	}
	return err
}

func (w *world) compare(ctx context.Context) error {
	pods, err := w.d.Runtime.ListPodSandbox(ctx, &runtimeapi.ListPodSandboxRequest{})
	if err != nil {
		return err
	}
	ctrs, err := w.d.Runtime.ListContainers(ctx, &runtimeapi.ListContainersRequest{})
	if err != nil {
		return err
	}
	stock, err := w.d.StockOf(ctx)
	if err != nil {
		return err
	}
	var wrong []string
	complain := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	known := map[string]bool{}
	for _, p := range pods.GetItems() {
		known[p.GetId()] = true
		ready := p.GetState() == runtimeapi.PodSandboxState_SANDBOX_READY
		if stock["sandbox "+p.GetId()] == 0 {
			complain("pod %s is listed and has no record", p.GetId())
		}
		ns := fmt.Sprintf("mount %s (nsfs)", w.d.Configuration.Paths().PodNetNS(p.GetId()))
		if ready && stock[ns] == 0 {
			complain("pod %s is ready and has no %s", p.GetId(), ns)
		}
		if ready && !hasThing(stock, "process ", p.GetId()) {
			complain("pod %s is ready and has no shim", p.GetId())
		}
	}
	for _, c := range ctrs.GetContainers() {
		known[c.GetId()] = true
		if stock["container "+c.GetId()] == 0 {
			complain("container %s is listed and has no record", c.GetId())
		}
		runs := c.GetState() == runtimeapi.ContainerState_CONTAINER_RUNNING
		if runs && stock["task "+c.GetId()] == 0 {
			complain("container %s is said to run and has no task", c.GetId())
		}
	}
	for thing := range stock {
		kind, id, _ := strings.Cut(thing, " ")
		switch kind {
		case "sandbox", "container", "task":
			if !known[id] {
				complain("%s is there and not listed", thing)
			}
		case "process":
			if strings.Contains(thing, "berth-shim") && !hasAny(thing, known) {
				complain("%s is there, its pod is not listed", thing)
			}
		}
	}
	if len(wrong) > 0 {
		return fmt.Errorf("lists are not true:\n  %s", strings.Join(wrong, "\n  "))
	}
	return nil
}

func hasThing(s host.Snapshot, prefix, part string) bool {
	for thing := range s {
		if strings.HasPrefix(thing, prefix) && strings.Contains(thing, part) {
			return true
		}
	}
	return false
}

func hasAny(text string, ids map[string]bool) bool {
	for id := range ids {
		if strings.Contains(text, id) {
			return true
		}
	}
	return false
}
