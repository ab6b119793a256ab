package integration

import (
	"strings"
	"testing"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
)

// TestSysfsOfPrivileged has a privileged and a plain container in a pod, in both orders: the first can
// write to /sys, the second cannot.
func TestSysfsOfPrivileged(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		privileged := security(func(s *runtimeapi.LinuxContainerSecurityContext) { s.Privileged = true })
		for _, first := range []string{"plain", "privileged"} {
			pod := d.RunPod(t, daemon.WithPod(func(c *runtimeapi.PodSandboxConfig) { c.Linux.SecurityContext.Privileged = true }))
			var plain, free *daemon.Container
			if first == "plain" {
				plain = pod.Run(t)
				free = pod.RunWith(t, privileged)
			} else {
				free = pod.RunWith(t, privileged)
				plain = pod.Run(t)
			}
			free.Output(t, "echo 65000 > /sys/class/net/lo/mtu")
			if got := plain.Output(t, "cat /sys/class/net/lo/mtu; echo 64000 > /sys/class/net/lo/mtu || true"); got != "65000\n" {
				t.Errorf("%s first: the plain container sees %q", first, got)
			}
			if got := plain.ExecSync(t, "sh", "-c", "echo 64000 > /sys/class/net/lo/mtu"); !strings.Contains(string(got.GetStderr()), "Read-only") {
				t.Errorf("%s first: a plain container writes to /sys: %q", first, got.GetStderr())
			}
		}
	})
}

// TestMessageQueuesInUserNamespace finds /dev/mqueue the property of the pod's root.
func TestMessageQueuesInUserNamespace(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		pod := d.RunPod(t, podNamespaces(&runtimeapi.NamespaceOption{Pid: runtimeapi.NamespaceMode_CONTAINER, UsernsOptions: userNamespace}))
		if got := pod.Run(t).Output(t, "stat -c '%u %g %a' /dev/mqueue; touch /dev/mqueue/q && echo made"); got != "0 0 1777\nmade\n" {
			t.Errorf("/dev/mqueue: %q", got)
		}
	})
}
