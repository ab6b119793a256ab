package integration

import (
	"os"
	"strings"
	"testing"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
)

// namespaceIn is a namespace of a process in the container.
func namespaceIn(t *testing.T, c *daemon.Container, kind string) string {
	t.Helper()
	return strings.TrimSpace(c.Output(t, "readlink /proc/self/ns/"+kind))
}

// TestNamespaces compares those of two containers of a pod, and of the host.
func TestNamespaces(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		pod := d.RunPod(t)
		a, b := pod.Run(t), pod.Run(t)
		for kind, shared := range map[string]bool{"net": true, "ipc": true, "uts": true, "pid": false, "mnt": false, "user": true} {
			host, err := os.Readlink("/proc/self/ns/" + kind)
			if err != nil {
				t.Fatal(err)
			}
			of := namespaceIn(t, a, kind)
			if (of == namespaceIn(t, b, kind)) != shared {
				t.Errorf("%s: shared by the containers of a pod is to be %v", kind, shared)
			}
			if (of == host) != (kind == "user") {
				t.Errorf("%s: %s, the host's is %s", kind, of, host)
			}
		}
		a.Output(t, "echo shared > /dev/shm/file")
		if got := b.Output(t, "cat /dev/shm/file"); got != "shared\n" {
			t.Errorf("/dev/shm: %q", got)
		}
	})
}

// TestSharedPID has a PID namespace for the pod, with an init that reaps.
func TestSharedPID(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		pod := d.RunPod(t, daemon.WithNamespaces(runtimeapi.NamespaceMode_POD, runtimeapi.NamespaceMode_POD, runtimeapi.NamespaceMode_POD))
		a, b := pod.Run(t, "sleep", "1111"), pod.Run(t, "sleep", "2222")
		if namespaceIn(t, a, "pid") != namespaceIn(t, b, "pid") {
			t.Error("the containers have different PID namespaces")
		}
		if got := a.Output(t, "cat /proc/1/comm"); !strings.Contains(got, "berth-init") {
			t.Errorf("process 1 is %q", got)
		}
		if got := a.Output(t, "ps"); !strings.Contains(got, "sleep 1111") || !strings.Contains(got, "sleep 2222") {
			t.Errorf("processes\n%s", got)
		}
		// An orphan becomes init's, which reaps it.
		b.Output(t, "sh -c 'sleep 0.2 & :'")
		daemon.Eventually(t, "reaped: the orphan", func() bool {
			got := a.Output(t, "ps -o stat,args")
			return !strings.Contains(got, "sleep 0.2") && !strings.Contains(got, "Z")
		})
		a.Stop(t, 0)
		if got := b.Output(t, "ps"); strings.Contains(got, "sleep 1111") || !strings.Contains(got, "sleep 2222") {
			t.Errorf("processes after the stop of one container\n%s", got)
		}
	})
}

// TestTargetPID joins the PID namespace of another container, as ephemeral containers do.
func TestTargetPID(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		pod := d.RunPod(t)
		target := pod.Run(t, "sleep", "3333")
		guest := pod.RunWith(t, security(func(s *runtimeapi.LinuxContainerSecurityContext) {
			s.NamespaceOptions = &runtimeapi.NamespaceOption{Pid: runtimeapi.NamespaceMode_TARGET, TargetId: target.ID}
		}))
		if got := guest.Output(t, "cat /proc/1/cmdline"); !strings.Contains(got, "3333") {
			t.Errorf("process 1 is %q", got)
		}
	})
}

// TestUserNamespace runs a pod whose root is nobody on the host (KEP-127).
func TestUserNamespace(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		status, err := d.Runtime.Status(daemon.Context(t), &runtimeapi.StatusRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if !status.GetRuntimeHandlers()[0].GetFeatures().GetUserNamespaces() {
			t.Skip("the kernel, or the file system, has no idmapped mounts: Status advertises no user namespaces")
		}
		pod := d.RunPod(t, func(r *runtimeapi.RunPodSandboxRequest) {
			podNamespaces(&runtimeapi.NamespaceOption{Pid: runtimeapi.NamespaceMode_CONTAINER, UsernsOptions: userNamespace})(r)
		})
		dir, mount := withHostDir(t, "/mnt")
		if err := os.Chmod(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		c := pod.RunWith(t, mount, daemon.WithShell("id -u; touch /mnt/file /file; sleep 1000"),
			security(func(s *runtimeapi.LinuxContainerSecurityContext) {
				s.Capabilities = &runtimeapi.Capability{AddCapabilities: []string{"NET_ADMIN"}}
			}))
		c.WaitLog(t, "0\n")
		if got := c.Output(t, "cat /proc/self/uid_map; stat -c %u /file /bin/busybox"); strings.Join(strings.Fields(got), " ") != "0 100000 65536 0 0" {
			t.Errorf("mapping, owner of a new file and of the image's: %q", got)
		}
		info, err := os.Stat("/proc/" + itoa(pidOf(t, d, c)))
		if err != nil {
			t.Fatal(err)
		}
		if uid := ownerOf(info); uid != 100000 {
			t.Errorf("on the host the container runs as %d", uid)
		}
		if info, err = os.Stat(dir + "/file"); err != nil || ownerOf(info) != 100000 {
			t.Errorf("the file on the host: %v, %v", info, err)
		}
		// Root of the namespace may use its network namespace, and not the host's.
		if got := c.Output(t, "ip link set lo down && ip link set lo up && echo changed"); got != "changed\n" {
			t.Errorf("the pod's network: %q", got)
		}
		if got := c.Output(t, "hostname"); got != "berth-test\n" {
			t.Errorf("hostname %q", got)
		}
	})
}

func TestSysctls(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		pod := d.RunPod(t, func(r *runtimeapi.RunPodSandboxRequest) {
			r.Config.Linux.Sysctls = map[string]string{"net.ipv4.tcp_keepalive_time": "111", "kernel.shmmax": "8388608", "fs.mqueue.msg_max": "33"}
		})
		c := pod.RunWith(t, security(func(s *runtimeapi.LinuxContainerSecurityContext) {
			s.RunAsUser = &runtimeapi.Int64Value{Value: 1000}
		}))
		for name, want := range map[string]string{
			"net/ipv4/tcp_keepalive_time": "111", "kernel/shmmax": "8388608", "fs/mqueue/msg_max": "33",
			"net/ipv4/ip_unprivileged_port_start": "0", // the default: low ports without a capability
		} {
			if got := strings.TrimSpace(c.Output(t, "cat /proc/sys/"+name)); got != want {
				t.Errorf("%s is %s, want %s", name, got, want)
			}
		}
	})
}
