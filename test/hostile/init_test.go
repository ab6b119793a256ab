package hostile

import (
	"fmt"
	"os"
	"strings"
	"testing"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
	"github.com/berth-run/berth/test/images"
)

// asKubelet makes a root container what the kubelet makes of one whose manifest says nothing of
// security: the default capabilities, masks and no filter.
func asKubelet(c *runtimeapi.ContainerConfig) {
	sc := c.Linux.SecurityContext
	sc.MaskedPaths = []string{"/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/scsi", "/sys/firmware"}
	sc.ReadonlyPaths = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
}

func adding(capabilities ...string) daemon.ContainerOption {
	return func(c *runtimeapi.ContainerConfig) {
		c.Linux.SecurityContext.Capabilities = &runtimeapi.Capability{AddCapabilities: capabilities}
	}
}

func userNamespace(length uint32) *runtimeapi.UserNamespace {
	m := []*runtimeapi.IDMapping{{HostId: 200000, Length: length}}
	return &runtimeapi.UserNamespace{Mode: runtimeapi.NamespaceMode_POD, Uids: m, Gids: m}
}

// sharing are pods whose containers see each other's processes: with one user namespace and
// another, and without.
func sharing(t *testing.T, test func(t *testing.T, d *daemon.Daemon, pod *daemon.Pod)) {
	d := target(t)
	for name, u := range map[string]*runtimeapi.UserNamespace{
		"host users": nil, "65536 users": userNamespace(65536), "10 users": userNamespace(10),
	} {
		t.Run(name, func(t *testing.T) {
			test(t, d, d.RunPod(t, daemon.WithPod(func(c *runtimeapi.PodSandboxConfig) {
				c.Linux.SecurityContext.NamespaceOptions = &runtimeapi.NamespaceOption{Pid: runtimeapi.NamespaceMode_POD, UsernsOptions: u}
			})))
		})
	}
}

// TestPodProcessGivesNothing has root containers try to get at process 1 of a shared PID namespace,
// the pod's own process: nothing of it can be reached.
func TestPodProcessGivesNothing(t *testing.T) {
	sharing(t, func(t *testing.T, _ *daemon.Daemon, pod *daemon.Pod) {
		c := pod.RunWith(t, daemon.WithImage(images.Tools), asKubelet)
		if got := c.Output(t, "pry 1"); got != "" {
			t.Errorf("a root container gets at process 1 by:\n%s", got)
		}
	})
}

// TestPodProcessTakenOver gives a container CAP_SYS_PTRACE, with which it can take over process 1,
// and finds nothing there: one file, no /sys, and of /proc no more than it has itself.
func TestPodProcessTakenOver(t *testing.T) {
	sharing(t, func(t *testing.T, _ *daemon.Daemon, pod *daemon.Pod) {
		c := pod.RunWith(t, daemon.WithImage(images.Tools), asKubelet, adding("SYS_PTRACE"))
		got := c.Output(t, "ls /proc/1/root; ls /proc/1/root/sys; touch /proc/1/root/new 2>/dev/null && echo writable; touch /proc/1/root/dev/new 2>/dev/null && echo writable; true")
		if want := "berth-init\ndev\nproc\nsys\n"; got != want {
			t.Errorf("the root of process 1 has %q, want %q", got, want)
		}
		if got := c.Output(t, "pry 1"); strings.Contains(got, "core_pattern") {
			t.Errorf("by way of process 1 the host's core_pattern can be opened for writing:\n%s", got)
		}
	})
}

// TestPodProcessConfined reads from the kernel how the pod's own process is confined.
func TestPodProcessConfined(t *testing.T) {
	sharing(t, func(t *testing.T, d *daemon.Daemon, pod *daemon.Pod) {
		pid := pod.Init(t)
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			t.Fatal(err)
		}
		status := map[string]string{}
		for line := range strings.Lines(string(raw)) {
			key, value, _ := strings.Cut(line, ":")
			status[key] = strings.Join(strings.Fields(value), " ")
		}
		for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
			if strings.Trim(status[set], "0") != "" {
				t.Errorf("%s is %s", set, status[set])
			}
		}
		if status["NoNewPrivs"] != "1" || status["Seccomp"] != "2" {
			t.Errorf("NoNewPrivs %s, Seccomp %s, want 1 and 2", status["NoNewPrivs"], status["Seccomp"])
		}
		if strings.HasPrefix(status["Uid"], "0 ") || strings.HasPrefix(status["Gid"], "0 ") || status["Groups"] != "" {
			t.Errorf("user %s, group %s, groups %q", status["Uid"], status["Gid"], status["Groups"])
		}
		// Of a process that is not dumpable, root owns what /proc has of it. It says so first of all.
		daemon.Eventually(t, "not dumpable: the pod's own process", func() bool {
			info, err := os.Stat(fmt.Sprintf("/proc/%d/environ", pid))
			return err == nil && fmt.Sprint(ownerOf(info)) != strings.Fields(status["Uid"])[0]
		})
	})
}

// TestPodProcessSignals floods process 1 with every signal, as root and as its own user: it lives, and
// goes on to reap orphans of every user. The pod's stop ends it.
func TestPodProcessSignals(t *testing.T) {
	sharing(t, func(t *testing.T, _ *daemon.Daemon, pod *daemon.Pod) {
		pid := pod.Init(t)
		c := pod.RunWith(t, daemon.WithImage(images.Tools), asKubelet)
		c.Output(t, "for s in $(seq 1 64); do kill -$s 1 2>/dev/null; done; for i in $(seq 200); do kill -USR1 1; kill -TERM 1; done")
		c.Output(t, "sh -c 'sleep 0.1 & :'")
		other := pod.RunWith(t, asKubelet, func(c *runtimeapi.ContainerConfig) {
			c.Linux.SecurityContext.RunAsUser = &runtimeapi.Int64Value{Value: 5}
		})
		other.Output(t, "sh -c 'sleep 0.1 & :'")
		daemon.Eventually(t, "reaped: the orphans", func() bool {
			got := c.Output(t, "ps -o stat,args")
			return !strings.Contains(got, "sleep 0.1") && !strings.Contains(got, "Z")
		})
		if status := pod.Status(t); status.GetState() != runtimeapi.PodSandboxState_SANDBOX_READY {
			t.Errorf("the pod is %s after signals from a container", status.GetState())
		}
		pod.Stop(t)
		daemon.Eventually(t, "ended: the pod's own process", func() bool {
			_, err := os.Stat(fmt.Sprintf("/proc/%d", pid))
			return os.IsNotExist(err)
		})
	})
}
