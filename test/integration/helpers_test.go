package integration

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
)

// wantCode fails the test unless err has the gRPC code and its message every one of the
// parts.
func wantCode(t *testing.T, err error, code codes.Code, parts ...string) {
	t.Helper()
	if status.Code(err) != code {
		t.Errorf("code %s, want %s: %v", status.Code(err), code, err)
		return
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("message %q does not mention %q", err.Error(), part)
		}
	}
	said := strings.Split(status.Convert(err).Message(), ": ")
	for i := range said[1:] {
		if said[i] == said[i+1] || slices.Contains(said[:i], said[i]) && strings.Contains(said[i], " of ") {
			t.Errorf("message %q says %q twice", err.Error(), said[i])
		}
	}
}

// withHostDir mounts a new directory of the host at a path in the container.
func withHostDir(t *testing.T, path string) (dir string, opt daemon.ContainerOption) {
	t.Helper()
	dir = t.TempDir()
	return dir, withMount(&runtimeapi.Mount{HostPath: dir, ContainerPath: path})
}

func withMount(m *runtimeapi.Mount) daemon.ContainerOption {
	return func(c *runtimeapi.ContainerConfig) { c.Mounts = append(c.Mounts, m) }
}

// touch makes an empty file.
func touch(t *testing.T, path ...string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(path...), nil, 0o644); err != nil {
		t.Fatal(err)
	}
}

// pidOf is the host's number of the container's first process.
func pidOf(t *testing.T, d *daemon.Daemon, c *daemon.Container) int {
	t.Helper()
	resp, err := d.Runtime.ContainerStatus(daemon.Context(t), &runtimeapi.ContainerStatusRequest{ContainerId: c.ID, Verbose: true})
	if err != nil {
		t.Fatal(err)
	}
	var info struct{ PID int }
	if err := json.Unmarshal([]byte(resp.GetInfo()["info"]), &info); err != nil {
		t.Fatal(err)
	}
	return info.PID
}

// awaitGone waits until a process has ended; a zombie has.
func awaitGone(t *testing.T, pid int) {
	t.Helper()
	daemon.Eventually(t, "ended: the container's process", func() bool {
		stat, err := os.ReadFile(filepath.Join("/proc", itoa(pid), "stat"))
		if err != nil {
			return true
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		return strings.HasPrefix(rest, "Z") || strings.HasPrefix(rest, "X")
	})
}

// alive reports whether a process exists.
func alive(pid int) bool { return pid > 0 && unix.Kill(pid, 0) == nil }

// listPods and listContainers are the IDs by state.
func listPods(t *testing.T, d *daemon.Daemon) map[string]runtimeapi.PodSandboxState {
	t.Helper()
	resp, err := d.Runtime.ListPodSandbox(daemon.Context(t), &runtimeapi.ListPodSandboxRequest{})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]runtimeapi.PodSandboxState{}
	for _, p := range resp.GetItems() {
		out[p.GetId()] = p.GetState()
	}
	return out
}

func listContainers(t *testing.T, d *daemon.Daemon) map[string]runtimeapi.ContainerState {
	t.Helper()
	resp, err := d.Runtime.ListContainers(daemon.Context(t), &runtimeapi.ListContainersRequest{})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]runtimeapi.ContainerState{}
	for _, c := range resp.GetContainers() {
		out[c.GetId()] = c.GetState()
	}
	return out
}

func itoa(n int) string { return strconv.Itoa(n) }

// userNamespace maps the first 65536 IDs far away from the host's.
var userNamespace = &runtimeapi.UserNamespace{
	Mode: runtimeapi.NamespaceMode_POD,
	Uids: []*runtimeapi.IDMapping{{HostId: 100000, ContainerId: 0, Length: 65536}},
	Gids: []*runtimeapi.IDMapping{{HostId: 100000, ContainerId: 0, Length: 65536}},
}

func contextWithCancel(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithCancel(daemon.Context(t))
}
