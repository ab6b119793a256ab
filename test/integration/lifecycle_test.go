package integration

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
	"github.com/berth-run/berth/test/images"
)

// TestLists makes pods and containers in all states and asks for them by every filter.
func TestLists(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		label := func(value string) daemon.PodOption {
			return daemon.WithPod(func(c *runtimeapi.PodSandboxConfig) {
				c.Labels["color"] = value
				c.Annotations = map[string]string{"note": value}
			})
		}
		red, blue := d.RunPod(t, label("red")), d.RunPod(t, label("blue"))
		blue.Stop(t)
		pods := func(f *runtimeapi.PodSandboxFilter) []string {
			resp, err := d.Runtime.ListPodSandbox(daemon.Context(t), &runtimeapi.ListPodSandboxRequest{Filter: f})
			if err != nil {
				t.Fatal(err)
			}
			var ids []string
			for _, p := range resp.GetItems() {
				ids = append(ids, p.GetId())
			}
			return ids
		}
		ready := &runtimeapi.PodSandboxStateValue{State: runtimeapi.PodSandboxState_SANDBOX_READY}
		selector := map[string]string{"color": "blue"}
		for name, c := range map[string]struct {
			filter *runtimeapi.PodSandboxFilter
			want   []string
		}{
			"all":           {nil, []string{red.ID, blue.ID}},
			"id":            {&runtimeapi.PodSandboxFilter{Id: red.ID}, []string{red.ID}},
			"prefix":        {&runtimeapi.PodSandboxFilter{Id: blue.ID[:13]}, []string{blue.ID}},
			"nobody":        {&runtimeapi.PodSandboxFilter{Id: "feedbeef"}, nil},
			"state":         {&runtimeapi.PodSandboxFilter{State: ready}, []string{red.ID}},
			"label":         {&runtimeapi.PodSandboxFilter{LabelSelector: selector}, []string{blue.ID}},
			"label, state":  {&runtimeapi.PodSandboxFilter{LabelSelector: selector, State: ready}, nil},
			"label, prefix": {&runtimeapi.PodSandboxFilter{LabelSelector: selector, Id: red.ID[:13]}, nil},
		} {
			if got := pods(c.filter); !sameSet(got, c.want) {
				t.Errorf("pods by %s: %v, want %v", name, got, c.want)
			}
		}
		testContainerLists(t, d, red)
	})
}

func testContainerLists(t *testing.T, d *daemon.Daemon, pod *daemon.Pod) {
	t.Helper()
	other := d.RunPod(t)
	elsewhere := other.Create(t)
	created, running, ended := pod.Create(t), pod.Run(t), pod.Run(t, "true")
	ended.WaitExited(t)
	containers := func(f *runtimeapi.ContainerFilter) []string {
		resp, err := d.Runtime.ListContainers(daemon.Context(t), &runtimeapi.ListContainersRequest{Filter: f})
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, c := range resp.GetContainers() {
			ids = append(ids, c.GetId())
		}
		return ids
	}
	state := func(s runtimeapi.ContainerState) *runtimeapi.ContainerStateValue {
		return &runtimeapi.ContainerStateValue{State: s}
	}
	for name, c := range map[string]struct {
		filter *runtimeapi.ContainerFilter
		want   []string
	}{
		"all":           {nil, []string{created.ID, running.ID, ended.ID, elsewhere.ID}},
		"id":            {&runtimeapi.ContainerFilter{Id: ended.ID}, []string{ended.ID}},
		"prefix":        {&runtimeapi.ContainerFilter{Id: running.ID[:13]}, []string{running.ID}},
		"pod":           {&runtimeapi.ContainerFilter{PodSandboxId: pod.ID}, []string{created.ID, running.ID, ended.ID}},
		"pod by prefix": {&runtimeapi.ContainerFilter{PodSandboxId: other.ID[:13]}, []string{elsewhere.ID}},
		"state":         {&runtimeapi.ContainerFilter{State: state(runtimeapi.ContainerState_CONTAINER_EXITED)}, []string{ended.ID}},
		"pod, state": {&runtimeapi.ContainerFilter{PodSandboxId: pod.ID, State: state(runtimeapi.ContainerState_CONTAINER_CREATED)},
			[]string{created.ID}},
		"nobody": {&runtimeapi.ContainerFilter{PodSandboxId: "feedbeef"}, nil},
	} {
		if got := containers(c.filter); !sameSet(got, c.want) {
			t.Errorf("containers by %s: %v, want %v", name, got, c.want)
		}
	}
}

func sameSet(a, b []string) bool {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(a, b)
}

// TestPrefixes makes containers until two IDs begin with the same digit: that is ambiguous.
func TestPrefixes(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		pod := d.RunPod(t)
		status := func(id string) error {
			_, err := d.Runtime.ContainerStatus(daemon.Context(t), &runtimeapi.ContainerStatusRequest{ContainerId: id})
			return err
		}
		first := map[string]string{}
		for {
			id := pod.Create(t).ID
			if _, taken := first[id[:1]]; taken {
				wantCode(t, status(id[:1]), codes.InvalidArgument, id[:1])
				return
			}
			first[id[:1]] = id
			if err := status(id[:1]); err != nil {
				t.Fatalf("unique prefix: %v", err)
			}
		}
	})
}

func TestPodStatus(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		began := time.Now()
		pod := d.RunPod(t, daemon.WithPod(func(c *runtimeapi.PodSandboxConfig) {
			c.Annotations = map[string]string{"note": "a b c"}
			c.Metadata.Attempt = 4
		}))
		resp, err := d.Runtime.PodSandboxStatus(daemon.Context(t), &runtimeapi.PodSandboxStatusRequest{PodSandboxId: pod.ID, Verbose: true})
		if err != nil {
			t.Fatal(err)
		}
		s := resp.GetStatus()
		if s.GetId() != pod.ID || !proto.Equal(s.GetMetadata(), pod.Config.Metadata) || s.GetState() != runtimeapi.PodSandboxState_SANDBOX_READY ||
			s.GetLabels()["test"] != pod.Config.Labels["test"] || s.GetAnnotations()["note"] != "a b c" {
			t.Errorf("status %v", s)
		}
		if at := time.Unix(0, s.GetCreatedAt()); at.Before(began) || at.After(time.Now()) {
			t.Errorf("created at %s", at)
		}
		if s.GetNetwork().GetIp() == "" || len(s.GetNetwork().GetAdditionalIps()) != 1 {
			t.Errorf("network %v, want an IPv4 and an IPv6 address", s.GetNetwork())
		}
		if !json.Valid([]byte(resp.GetInfo()["info"])) {
			t.Errorf("verbose info %q", resp.GetInfo())
		}
		pod.Stop(t)
		if s := pod.Status(t); s.GetState() != runtimeapi.PodSandboxState_SANDBOX_NOTREADY {
			t.Errorf("stopped: %v", s)
		}
		pod.Stop(t) // is idempotent
	})
}

func TestContainerStatus(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		began := time.Now()
		pod := d.RunPod(t)
		id := d.Pull(t, images.Busybox)
		_, mount := withHostDir(t, "/mnt")
		c := pod.Create(t, mount, daemon.WithShell("sleep 1000"), func(c *runtimeapi.ContainerConfig) {
			c.Labels = map[string]string{"l": "1"}
			c.Annotations = map[string]string{"a": "2"}
			c.StopSignal = runtimeapi.Signal_SIGNAL_SIGUSR1
		})
		s := c.Status(t)
		if s.GetState() != runtimeapi.ContainerState_CONTAINER_CREATED || s.GetStartedAt() != 0 || s.GetFinishedAt() != 0 {
			t.Errorf("created: %v", s)
		}
		c.Start(t)
		s = c.Status(t)
		started := time.Unix(0, s.GetStartedAt())
		if s.GetState() != runtimeapi.ContainerState_CONTAINER_RUNNING || started.Before(began) || s.GetFinishedAt() != 0 {
			t.Errorf("running: %v", s)
		}
		if s.GetImage().GetImage() != images.Busybox || s.GetImageId() != id || !strings.Contains(s.GetImageRef(), "@sha256:") {
			t.Errorf("image %v, id %s, ref %s", s.GetImage(), s.GetImageId(), s.GetImageRef())
		}
		if !proto.Equal(s.GetMetadata(), c.Config.Metadata) || s.GetLabels()["l"] != "1" || s.GetAnnotations()["a"] != "2" {
			t.Errorf("metadata %v, labels %v, annotations %v", s.GetMetadata(), s.GetLabels(), s.GetAnnotations())
		}
		if s.GetLogPath() != c.LogPath() || len(s.GetMounts()) != 1 || s.GetMounts()[0].GetContainerPath() != "/mnt" {
			t.Errorf("log path %s, mounts %v", s.GetLogPath(), s.GetMounts())
		}
		if s.GetStopSignal() != runtimeapi.Signal_SIGNAL_SIGUSR1 || s.GetUser().GetLinux().GetUid() != 0 {
			t.Errorf("stop signal %s, user %v", s.GetStopSignal(), s.GetUser())
		}
	})
}

func TestExits(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		pod := d.RunPod(t)
		for _, c := range []struct {
			script string
			code   int32
			reason string
		}{
			{"true", 0, "Completed"},
			{"exit 42", 42, "Error"},
			{"exit 255", 255, "Error"},
			{"kill -KILL $$", 137, "Error"},
			{"kill -SEGV $$", 139, "Error"},
		} {
			status := pod.RunWith(t, daemon.WithShell("sh -c '"+c.script+"'; exit $?")).WaitExited(t)
			if status.GetExitCode() != c.code || status.GetReason() != c.reason {
				t.Errorf("%s: %d, %s", c.script, status.GetExitCode(), status.GetReason())
			}
			if status.GetFinishedAt() < status.GetStartedAt() || status.GetStartedAt() == 0 {
				t.Errorf("%s: started %d, finished %d", c.script, status.GetStartedAt(), status.GetFinishedAt())
			}
		}
		hog := pod.RunWith(t, daemon.WithImage(images.Tools), daemon.WithCommand("memhog"), func(c *runtimeapi.ContainerConfig) {
			c.Linux.Resources = &runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 32 << 20}
		})
		if status := hog.WaitExited(t); status.GetReason() != "OOMKilled" || status.GetExitCode() != 137 {
			t.Errorf("out of memory: %d, %s", status.GetExitCode(), status.GetReason())
		}
	})
}

// TestCannotRun starts containers that the OCI runtime refuses to run.
func TestCannotRun(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		pod := d.RunPod(t)
		for _, c := range []struct {
			name    string
			command string
			text    string
		}{
			{"missing", "/no/such/program", "/no/such/program"},
			{"not in PATH", "nosuchprogram", "nosuchprogram"},
			{"directory", "/tmp", "/tmp"},
			{"not executable", "/etc/passwd", "/etc/passwd"},
		} {
			t.Run(c.name, func(t *testing.T) {
				ctr := pod.Create(t, daemon.WithCommand(c.command))
				_, err := d.Runtime.StartContainer(daemon.Context(t), &runtimeapi.StartContainerRequest{ContainerId: ctr.ID})
				wantCode(t, err, codes.FailedPrecondition, c.text)
				status := ctr.Status(t)
				if status.GetState() != runtimeapi.ContainerState_CONTAINER_EXITED || status.GetReason() != "ContainerCannotRun" ||
					status.GetExitCode() != 128 && status.GetExitCode() != 127 && status.GetExitCode() != 126 ||
					!strings.Contains(status.GetMessage(), c.text) {
					t.Errorf("status %v", status)
				}
				ctr.Remove(t)
			})
		}
	})
}

func TestStop(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		pod := d.RunPod(t)
		stop := func(c *daemon.Container, grace int64) (*runtimeapi.ContainerStatus, time.Duration) {
			t.Helper()
			began := time.Now()
			c.Stop(t, grace)
			return c.Status(t), time.Since(began)
		}
		trap := func(signal string) *daemon.Container {
			c := pod.RunWith(t, daemon.WithShell("trap 'exit 9' "+signal+"; trap '' USR2; echo ready; while :; do usleep 20000; done"))
			c.WaitLog(t, "ready")
			return c
		}
		if s, took := stop(trap("TERM"), 30); s.GetExitCode() != 9 || took > 10*time.Second {
			t.Errorf("SIGTERM: %d after %s", s.GetExitCode(), took)
		}
		if s, took := stop(trap("USR1"), 1); s.GetExitCode() != 137 && s.GetExitCode() != 143 || took > 10*time.Second {
			t.Errorf("grace of 1 s: %d after %s", s.GetExitCode(), took)
		}
		stubborn := pod.RunWith(t, daemon.WithShell("trap '' TERM; echo ready; while :; do usleep 20000; done"))
		stubborn.WaitLog(t, "ready")
		if s, took := stop(stubborn, 1); s.GetExitCode() != 137 || took < time.Second || took > 10*time.Second {
			t.Errorf("stubborn: %d after %s", s.GetExitCode(), took)
		}
		if s, _ := stop(stubborn, 1); s.GetExitCode() != 137 {
			t.Errorf("stopped twice: %d", s.GetExitCode())
		}
		signalled := pod.RunWith(t, daemon.WithImage(images.StopSignal), func(c *runtimeapi.ContainerConfig) { c.Command = nil })
		signalled.ExecSync(t, "sh", "-c", "until grep -q SigCgt /proc/1/status; do :; done")
		if s, _ := stop(signalled, 30); s.GetExitCode() != 7 {
			t.Errorf("the image's stop signal: %d, want 7", s.GetExitCode())
		}
	})
}

// TestStopTwice shortens a Stop under way by a second one.
func TestStopTwice(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		pod := d.RunPod(t)
		c := pod.RunWith(t, daemon.WithShell("trap 'echo asked' TERM; echo ready; while :; do usleep 20000; done"))
		c.WaitLog(t, "ready")
		began, first := time.Now(), make(chan error, 1)
		go func() {
			_, err := d.Runtime.StopContainer(daemon.Context(t), &runtimeapi.StopContainerRequest{ContainerId: c.ID, Timeout: 600})
			first <- err
		}()
		c.WaitLog(t, "asked")
		c.Stop(t, 0)
		if err := <-first; err != nil {
			t.Errorf("the first Stop: %v", err)
		}
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("took %s", took)
		}
	})
}

// TestAttempts restarts a container as the kubelet does: another attempt, another log.
func TestAttempts(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		pod := d.RunPod(t)
		var logs []string
		for attempt := range uint32(3) {
			r := pod.CreateRequest(daemon.WithShell("echo attempt "+itoa(int(attempt))), func(c *runtimeapi.ContainerConfig) {
				c.Metadata = &runtimeapi.ContainerMetadata{Name: "again", Attempt: attempt}
				c.LogPath = filepath.Join("again", itoa(int(attempt))+".log")
			})
			c := pod.CreateFrom(t, r)
			c.Start(t)
			c.WaitExited(t)
			logs = append(logs, c.LogPath())
			if attempt == 1 {
				c.Remove(t)
			}
		}
		for attempt, path := range logs {
			lines, err := daemon.ReadLog(path)
			if err != nil || daemon.JoinLog(lines, "stdout") != "attempt "+itoa(attempt)+"\n" {
				t.Errorf("log of attempt %d: %v, %v", attempt, lines, err)
			}
		}
	})
}
