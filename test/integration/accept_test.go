package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
	"github.com/berth-run/berth/test/images"
)

// embedded runs a test on the shared daemon with containerd inside, for what has nothing to do with where
// containerd is.
func embedded(t *testing.T, test func(t *testing.T, d *daemon.Daemon)) {
	t.Helper()
	daemon.Require(t)
	d := modes[0].daemon(t)
	d.MarkLog()
	t.Cleanup(func() {
		if t.Failed() {
			d.ShowLog(t)
		}
	})
	d.CheckLeaks(t)
	test(t, d)
}

// ignoredBy is what the verbose status of a container says was ignored.
func ignoredBy(t *testing.T, d *daemon.Daemon, c *daemon.Container) string {
	t.Helper()
	resp, err := d.Runtime.ContainerStatus(daemon.Context(t), &runtimeapi.ContainerStatusRequest{ContainerId: c.ID, Verbose: true})
	if err != nil {
		t.Fatal(err)
	}
	return ignoredIn(t, resp.GetInfo())
}

func ignoredIn(t *testing.T, info map[string]string) string {
	t.Helper()
	var v struct{ Ignored []string }
	if err := json.Unmarshal([]byte(info["info"]), &v); err != nil {
		t.Fatal(err)
	}
	return strings.Join(v.Ignored, "\n")
}

// TestMissingHostPath: a host path that does not exist becomes a directory, and stays.
func TestMissingHostPath(t *testing.T) {
	embedded(t, func(t *testing.T, d *daemon.Daemon) {
		root := t.TempDir()
		dir, sock := filepath.Join(root, "run/cni"), filepath.Join(root, "agent.sock")
		pod := d.RunPod(t)
		c := pod.RunWith(t, func(c *runtimeapi.ContainerConfig) {
			c.Mounts = []*runtimeapi.Mount{{HostPath: dir, ContainerPath: "/cni"}, {HostPath: sock, ContainerPath: "agent.sock"}}
		})
		if got := c.Output(t, "touch /cni/file && ls -d /agent.sock/"); got != "/agent.sock/\n" {
			t.Errorf("in the container: %q", got)
		}
		pod.Remove(t)
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o755 {
			t.Errorf("on the host: %v, %v", info, err)
		}
		if _, err := os.Stat(filepath.Join(dir, "file")); err != nil {
			t.Error(err)
		}
	})
}

// TestIgnored: what containerd and CRI-O accept without effect is accepted, and verbose status says so.
func TestIgnored(t *testing.T) {
	embedded(t, func(t *testing.T, d *daemon.Daemon) {
		options := &runtimeapi.SELinuxOption{Type: "spc_t", Level: "s0"}
		pod := d.RunPod(t, daemon.WithPod(func(c *runtimeapi.PodSandboxConfig) { c.Linux.SecurityContext.SelinuxOptions = options }))
		resp, err := d.Runtime.PodSandboxStatus(daemon.Context(t), &runtimeapi.PodSandboxStatusRequest{PodSandboxId: pod.ID, Verbose: true})
		if err != nil {
			t.Fatal(err)
		}
		if got := ignoredIn(t, resp.GetInfo()); !strings.Contains(got, "selinux_options") {
			t.Errorf("of the pod is ignored: %q", got)
		}
		_, relabel := withHostDir(t, "/data")
		c := pod.RunWith(t, relabel, func(c *runtimeapi.ContainerConfig) { c.Mounts[0].SelinuxRelabel = true },
			security(func(s *runtimeapi.LinuxContainerSecurityContext) {
				s.SelinuxOptions = options
				s.Capabilities = &runtimeapi.Capability{DropCapabilities: []string{"*"}, AddCapabilities: []string{"NOT_YET", "cap_net_admin"}}
				s.MaskedPaths, s.ReadonlyPaths = []string{"proc/meminfo"}, []string{"proc/sys"}
			}))
		got := ignoredBy(t, d, c)
		for _, what := range []string{"selinux_options", "selinux_relabel", `"*"`, `"NOT_YET"`} {
			if !strings.Contains(got, what) {
				t.Errorf("no %s in what is ignored: %q", what, got)
			}
		}
		if out := c.Output(t, "wc -c < /proc/meminfo; (echo 1 > /proc/sys/kernel/panic) 2>&1 || true"); !strings.HasPrefix(out, "0\n") || !strings.Contains(out, "Read-only") {
			t.Errorf("masked and read-only paths: %q", out)
		}
		if got := ignoredBy(t, d, pod.Run(t)); got != "" {
			t.Errorf("an ordinary container has ignored %q", got)
		}
	})
}

// TestPrivilegedLater: a container that is privileged by the sandbox_config of its own request runs in a pod
// that was not, as kubectl debug --profile=sysadmin makes it.
func TestPrivilegedLater(t *testing.T) {
	embedded(t, func(t *testing.T, d *daemon.Daemon) {
		pod := d.RunPod(t)
		plain := pod.Run(t)
		pod.Config.Linux.SecurityContext.Privileged = true
		c := pod.RunWith(t, security(func(s *runtimeapi.LinuxContainerSecurityContext) { s.Privileged = true }))
		if got := c.Output(t, "mkdir /m && mount -t tmpfs none /m && echo mounted"); got != "mounted\n" {
			t.Errorf("the privileged one: %q", got)
		}
		if got := plain.Output(t, "mkdir /m && mount -t tmpfs none /m 2>/dev/null || echo refused"); got != "refused\n" {
			t.Errorf("the other: %q", got)
		}
	})
}

// TestUserNamespaceOnHostNetwork is KEP-5607.
func TestUserNamespaceOnHostNetwork(t *testing.T) {
	embedded(t, func(t *testing.T, d *daemon.Daemon) {
		status, err := d.Runtime.Status(daemon.Context(t), &runtimeapi.StatusRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if !status.GetRuntimeHandlers()[0].GetFeatures().GetUserNamespaces() {
			t.Skip("Status advertises no user namespaces")
		}
		pod := d.RunPod(t, func(r *runtimeapi.RunPodSandboxRequest) {
			podNamespaces(&runtimeapi.NamespaceOption{
				Network: runtimeapi.NamespaceMode_NODE, Pid: runtimeapi.NamespaceMode_CONTAINER, UsernsOptions: userNamespace,
			})(r)
		})
		c := pod.Run(t)
		got := strings.Fields(c.Output(t, "cat /proc/self/uid_map; readlink /proc/self/ns/net; ls -d /sys/class/net; (echo x > /sys/kernel/mm/ksm/run) 2>/dev/null || echo read-only"))
		net, err := os.Readlink("/proc/self/ns/net")
		if err != nil {
			t.Fatal(err)
		}
		if want := []string{"0", "100000", "65536", net, "/sys/class/net", "read-only"}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// TestImageStopSignals: the signal of the image arrives however it is spelled, SIGTERM in place of one that
// cannot be, and status names the one that is sent.
func TestImageStopSignals(t *testing.T) {
	embedded(t, func(t *testing.T, d *daemon.Daemon) {
		pod := d.RunPod(t)
		for image, want := range map[string]struct {
			number string
			signal runtimeapi.Signal
			note   string
		}{
			images.StopSignalNumber: {"37", runtimeapi.Signal_SIGNAL_SIGRTMINPLUS3, ""},
			images.StopSignalNone:   {"TERM", runtimeapi.Signal_SIGNAL_SIGTERM, `stop signal "65"`},
		} {
			c := pod.RunWith(t, daemon.WithImage(image), daemon.WithShell("trap 'exit 7' "+want.number+"; echo ready; while :; do usleep 20000; done"))
			c.WaitLog(t, "ready")
			if got := c.Status(t).GetStopSignal(); got != want.signal {
				t.Errorf("%s: status says %s", image, got)
			}
			if got := ignoredBy(t, d, c); (want.note == "") != (got == "") || !strings.Contains(got, want.note) {
				t.Errorf("%s: ignored is %q", image, got)
			}
			c.Stop(t, 30)
			if got := c.Status(t).GetExitCode(); got != 7 {
				t.Errorf("%s: exit code %d", image, got)
			}
		}
	})
}
