package hostile

import (
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
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

// bindTCP makes a socket that has a port and does not listen.
func bindTCP(t *testing.T) (fd, port int) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	at, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fd, at.(*unix.SockaddrInet4).Port
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

	bound, port := bindTCP(t)
	defer unix.Close(bound)
	wantRefusedPort(t, d, runtimeapi.Protocol_TCP, port, "listens")

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

// freePort is one that nobody listens at.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return portOf(t, l.Addr().String())
}

// TestPortOfAnotherPod: a port of the host belongs to one pod until that is stopped; within a pod ports may overlap.
func TestPortOfAnotherPod(t *testing.T) {
	d := target(t)
	port := freePort(t)
	first := d.RunPod(t, publishing(runtimeapi.Protocol_TCP, port, port))
	wantRefusedPort(t, d, runtimeapi.Protocol_TCP, port, first.ID, strconv.Itoa(port))
	d.RunPod(t, publishing(runtimeapi.Protocol_UDP, port))
	first.Stop(t)
	d.RunPod(t, publishing(runtimeapi.Protocol_TCP, port))
}

// TestPortRetry: a pod is not refused because of its own port when the kubelet asks for it again, meanwhile and afterwards.
func TestPortRetry(t *testing.T) {
	d := target(t)
	request := d.PodRequest(t, publishing(runtimeapi.Protocol_TCP, freePort(t)))
	const callers = 4
	ids, errs := make([]string, callers), make([]error, callers)
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			resp, err := d.Runtime.RunPodSandbox(daemon.Context(t), request)
			ids[i], errs[i] = resp.GetPodSandboxId(), err
		})
	}
	all.Wait()
	pod := d.RunPodRequest(t, request)
	for i := range callers {
		if errs[i] != nil || ids[i] != pod.ID {
			t.Errorf("asked for at the same time: %q, %v; afterwards: %q", ids[i], errs[i], pod.ID)
		}
	}
}

// TestPortOfHostNetwork: a pod on the host's network publishes nothing, whatever its request lists: a listener does
// not keep it from starting, and it keeps the port from no other pod.
func TestPortOfHostNetwork(t *testing.T) {
	d := target(t)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := portOf(t, l.Addr().String())
	onHost := daemon.WithNamespaces(runtimeapi.NamespaceMode_NODE, runtimeapi.NamespaceMode_POD, runtimeapi.NamespaceMode_CONTAINER)
	d.RunPod(t, onHost, publishing(runtimeapi.Protocol_TCP, port))
	l.Close()
	d.RunPod(t, publishing(runtimeapi.Protocol_TCP, port))
	d.RunPod(t, onHost, publishing(runtimeapi.Protocol_TCP, port))
}
