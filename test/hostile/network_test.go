package hostile

import (
	"net"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
)

// publishing asks for a pod that publishes its port 80 at ports of the host.
func publishing(protocol runtimeapi.Protocol, ports ...int) daemon.PodOption {
	return daemon.WithPod(func(c *runtimeapi.PodSandboxConfig) {
		for _, p := range ports {
			c.PortMappings = append(c.PortMappings, &runtimeapi.PortMapping{Protocol: protocol, ContainerPort: 80, HostPort: int32(p)})
		}
	})
}

// wantRefusedPort runs a pod that must not get its host port, and looks for words in the reason.
func wantRefusedPort(t *testing.T, d *daemon.Daemon, protocol runtimeapi.Protocol, port int, words ...string) {
	t.Helper()
	resp, err := d.Runtime.RunPodSandbox(daemon.Context(t), d.PodRequest(t, publishing(protocol, port)))
	if err == nil {
		_, _ = d.Runtime.RemovePodSandbox(daemon.Context(t), &runtimeapi.RemovePodSandboxRequest{PodSandboxId: resp.GetPodSandboxId()})
	}
	if status.Code(err) != codes.FailedPrecondition {
		t.Errorf("host port %d/%s: got %v", port, protocol, err)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("host port %d/%s: no %q in %v", port, protocol, w, err)
		}
	}
}

// portOf is the port of an address "HOST:PORT".
func portOf(t *testing.T, address string) int {
	t.Helper()
	_, text, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// TestPortOfTheHost: a pod cannot publish a port that a process of the host listens on, by whatever address, and so
// cannot take connections to the daemon's own ports, which carry the tokens of other pods' sessions.
func TestPortOfTheHost(t *testing.T) {
	d := target(t)
	tcp, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	wantRefusedPort(t, d, runtimeapi.Protocol_TCP, portOf(t, tcp.Addr().String()), "listens")
	v6, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	defer v6.Close()
	wantRefusedPort(t, d, runtimeapi.Protocol_TCP, portOf(t, v6.Addr().String()), "listens")
	udp, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	wantRefusedPort(t, d, runtimeapi.Protocol_UDP, portOf(t, udp.LocalAddr().String()), "listens")

	c := d.RunPod(t).Run(t, "sleep", "1000")
	session, err := d.Runtime.Exec(daemon.Context(t), &runtimeapi.ExecRequest{ContainerId: c.ID, Cmd: []string{"true"}, Stdout: true})
	if err != nil {
		t.Fatal(err)
	}
	at, err := url.Parse(session.GetUrl())
	if err != nil {
		t.Fatal(err)
	}
	wantRefusedPort(t, d, runtimeapi.Protocol_TCP, portOf(t, at.Host), "listens")
}

// TestPortOfAnotherPod: a port of the host belongs to one pod until that is stopped; within a pod ports may overlap.
func TestPortOfAnotherPod(t *testing.T) {
	d := target(t)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := portOf(t, l.Addr().String())
	l.Close()
	first := d.RunPod(t, publishing(runtimeapi.Protocol_TCP, port, port))
	wantRefusedPort(t, d, runtimeapi.Protocol_TCP, port, first.ID, strconv.Itoa(port))
	d.RunPod(t, publishing(runtimeapi.Protocol_UDP, port))
	first.Stop(t)
	d.RunPod(t, publishing(runtimeapi.Protocol_TCP, port))
}
