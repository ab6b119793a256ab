package integration

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/internal/netns"
	"github.com/berth-run/berth/sandbox"
	"github.com/berth-run/berth/test/daemon"
)

// TestNetworkAgent runs an agent as Multus or Antrea do: a privileged container that mounts the
// directory of network namespaces, enters those of pods made before and after, and does not see those
// of removed pods any more. A pod whose pin is missing, as that of an older version, gets one at the start.
func TestNetworkAgent(t *testing.T) {
	daemon.Require(t)
	d := daemon.Start(t, daemon.Options{})
	paths := d.Configuration.Paths()
	if err := netns.Share(paths.NetworkNamespaces()); err != nil { // as /run is where systemd runs
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(paths.NetworkNamespaces(), unix.MNT_DETACH) })
	privileged := security(func(s *runtimeapi.LinuxContainerSecurityContext) { s.Privileged = true })
	before := d.RunPod(t)
	host := d.RunPod(t, daemon.WithPod(func(c *runtimeapi.PodSandboxConfig) { c.Linux.SecurityContext.Privileged = true }))
	agent := host.RunWith(t, privileged, withMount(&runtimeapi.Mount{
		HostPath: paths.NetworkNamespaces(), ContainerPath: "/var/run/netns", Propagation: runtimeapi.MountPropagation_PROPAGATION_HOST_TO_CONTAINER,
	}))
	after := d.RunPod(t)
	for _, pod := range []*daemon.Pod{before, after} {
		if got := agent.Output(t, "nsenter --net=/var/run/netns/berth-"+pod.ID+" ip addr show eth0"); !strings.Contains(got, pod.IP(t)) {
			t.Errorf("the agent finds no %s there: %s", pod.IP(t), got)
		}
	}
	d.Kill(t)
	<-d.Exited()
	if err := netns.Unpublish(paths.PublishedNetNS(after.ID)); err != nil {
		t.Fatal(err)
	}
	stale := paths.PublishedNetNS(sandbox.NewID()) // of a pod that an older version removed
	touch(t, stale)
	d.Start(t)
	if _, err := os.Stat(stale); !os.IsNotExist(err) {
		t.Errorf("the pin of a pod without a record is still there: %v", err)
	}
	agent.Output(t, "nsenter --net=/var/run/netns/berth-"+after.ID+" true")
	before.Remove(t)
	after.Remove(t)
	if got := agent.Output(t, "ls /var/run/netns"); got != "berth-"+host.ID+"\n" {
		t.Errorf("after the removal of two pods: %q", got)
	}
}
