package hostile

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/internal/budget"
	"github.com/berth-run/berth/test/daemon"
)

// TestManyInterfaces: a pod that makes very many network interfaces, as one with NET_ADMIN can, does not make
// stats and metrics too long to be received; its own traffic is still told.
func TestManyInterfaces(t *testing.T) {
	d := target(t)
	pod := d.RunPod(t)
	pid := d.PIDOf(t, pod.Run(t).ID)
	var links strings.Builder
	for i := range 100 {
		fmt.Fprintf(&links, "link add a%d type veth peer name b%d\n", i, i)
	}
	// What ip in the pod would do; the image has none that can.
	cmd := exec.Command("nsenter", "-t", fmt.Sprint(pid), "-n", "ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(links.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	// The interfaces of a pod with one are listed anew after half a minute; a new daemon lists them at once.
	d.Restart(t)
	resp, err := d.Runtime.PodSandboxStats(daemon.Context(t), &runtimeapi.PodSandboxStatsRequest{PodSandboxId: pod.ID})
	if err != nil {
		t.Fatal(err)
	}
	network := resp.GetStats().GetLinux().GetNetwork()
	if name := network.GetDefaultInterface().GetName(); name != "eth0" {
		t.Errorf("the default interface is %q", name)
	}
	if n := len(network.GetInterfaces()) + 1; n != budget.ReportedInterfaces {
		t.Errorf("stats have %d interfaces, want %d", n, budget.ReportedInterfaces)
	}
	metrics, err := d.Runtime.ListPodSandboxMetrics(daemon.Context(t), &runtimeapi.ListPodSandboxMetricsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	received := 0
	for _, p := range metrics.GetPodMetrics() {
		for _, m := range p.GetMetrics() {
			if m.GetName() == "container_network_receive_bytes_total" && p.GetPodSandboxId() == pod.ID {
				received++
			}
		}
	}
	if received != budget.ReportedInterfaces {
		t.Errorf("metrics have %d interfaces, want %d", received, budget.ReportedInterfaces)
	}
}
