package integration

import (
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
)

// callers is how many ask for the same at the same time.
const callers = 8

// together runs fn as often at the same time, and returns what it returned.
func together(fn func() (string, error)) (ids []string, errs []error) {
	ids, errs = make([]string, callers), make([]error, callers)
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() { ids[i], errs[i] = fn() })
	}
	all.Wait()
	return ids, errs
}

func wantSame(t *testing.T, what string, ids []string, errs []error) string {
	t.Helper()
	for i := range ids {
		if errs[i] != nil || ids[i] != ids[0] || ids[i] == "" {
			t.Errorf("%s: %q, %v; another caller got %q", what, ids[i], errs[i], ids[0])
		}
	}
	return ids[0]
}

// TestRetries asks for the same pod and container several times, at once and afterwards.
func TestRetries(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		ctx, request := daemon.Context(t), d.PodRequest(t)
		runPod := func() (string, error) {
			resp, err := d.Runtime.RunPodSandbox(ctx, request)
			return resp.GetPodSandboxId(), err
		}
		ids, errs := together(runPod)
		id := wantSame(t, "RunPodSandbox", ids, errs)
		pod := d.RunPodRequest(t, request) // once more, and removed at the end
		if pod.ID != id || len(listPods(t, d)) != 1 {
			t.Errorf("a later retry: %s, was %s; pods %v", pod.ID, id, listPods(t, d))
		}
		request.Config.Labels["changed"] = "yes"
		_, err := runPod()
		wantCode(t, err, codes.AlreadyExists, request.Config.Metadata.Name, id)
		delete(request.Config.Labels, "changed")

		create := pod.CreateRequest()
		createContainer := func() (string, error) {
			resp, err := d.Runtime.CreateContainer(ctx, create)
			return resp.GetContainerId(), err
		}
		ids, errs = together(createContainer)
		ctrID := wantSame(t, "CreateContainer", ids, errs)
		if again, err := createContainer(); again != ctrID || err != nil {
			t.Errorf("a later retry: %s, %v, was %s", again, err, ctrID)
		}
		if got := listContainers(t, d); len(got) != 1 {
			t.Errorf("containers %v", got)
		}
		create.Config.Command = []string{"sleep", "2000"}
		_, err = createContainer()
		wantCode(t, err, codes.AlreadyExists, create.Config.Metadata.Name, ctrID)
		testRetriesOfTheRest(t, d, pod, ctrID)
		_, err = runPod()
		wantCode(t, err, codes.AlreadyExists, request.Config.Metadata.Name, id)
	})
}

// testRetriesOfTheRest calls everything that follows in a container's life several times
// at once.
func testRetriesOfTheRest(t *testing.T, d *daemon.Daemon, pod *daemon.Pod, ctrID string) {
	t.Helper()
	ctx := daemon.Context(t)
	for _, step := range []struct {
		name string
		call func() error
	}{
		{"StartContainer", func() error {
			_, err := d.Runtime.StartContainer(ctx, &runtimeapi.StartContainerRequest{ContainerId: ctrID})
			return err
		}},
		{"StopContainer", func() error {
			_, err := d.Runtime.StopContainer(ctx, &runtimeapi.StopContainerRequest{ContainerId: ctrID, Timeout: 1})
			return err
		}},
		{"RemoveContainer", func() error {
			_, err := d.Runtime.RemoveContainer(ctx, &runtimeapi.RemoveContainerRequest{ContainerId: ctrID})
			return err
		}},
		{"StopPodSandbox", func() error {
			_, err := d.Runtime.StopPodSandbox(ctx, &runtimeapi.StopPodSandboxRequest{PodSandboxId: pod.ID})
			return err
		}},
	} {
		_, errs := together(func() (string, error) { return "", step.call() })
		for _, err := range errs {
			if err != nil {
				t.Errorf("%s, several at once: %v", step.name, err)
			}
		}
	}
}
