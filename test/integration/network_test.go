package integration

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
	"github.com/berth-run/berth/test/images"
)

// tryEcho sends bytes to an address and wants them back.
func tryEcho(network, address string, size int) error {
	conn, err := net.DialTimeout(network, address, 5*time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	sent := bytes.Repeat([]byte("0123456789abcdef"), size/16)
	go func() { _, _ = conn.Write(sent) }()
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(conn, got); err != nil {
		return fmt.Errorf("%s %s: %w", network, address, err)
	}
	if !bytes.Equal(got, sent) {
		return fmt.Errorf("%s %s sends other bytes back", network, address)
	}
	return nil
}

func wantEcho(t *testing.T, network, address string, size int) {
	t.Helper()
	if err := tryEcho(network, address, size); err != nil {
		t.Error(err)
	}
}

// freePort is one that nobody listens at.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func TestHostPorts(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		tcp, udp := freePort(t), freePort(t)
		pod := d.RunPod(t, daemon.WithPod(func(c *runtimeapi.PodSandboxConfig) {
			c.PortMappings = []*runtimeapi.PortMapping{
				{Protocol: runtimeapi.Protocol_TCP, HostPort: int32(tcp), ContainerPort: 7},
				{Protocol: runtimeapi.Protocol_UDP, HostPort: int32(udp), ContainerPort: 7},
				{Protocol: runtimeapi.Protocol_TCP, ContainerPort: 9}, // without a host port: nothing to do
			}
		}))
		echo := pod.RunWith(t, daemon.WithImage(images.Tools), daemon.WithCommand("netecho"))
		echo.WaitLog(t, "listening")
		wantEcho(t, "tcp", net.JoinHostPort("127.0.0.1", itoa(tcp)), 1<<20)
		wantEcho(t, "udp", net.JoinHostPort("127.0.0.1", itoa(udp)), 1024)
		status := pod.Status(t).GetNetwork()
		wantEcho(t, "tcp", net.JoinHostPort(status.GetIp(), "7"), 1<<20)
		wantEcho(t, "tcp", net.JoinHostPort(status.GetAdditionalIps()[0].GetIp(), "7"), 1<<20)
		pod.Stop(t)
		if err := tryEcho("tcp", net.JoinHostPort("127.0.0.1", itoa(tcp)), 16); err == nil {
			t.Error("the host port is still there after the stop")
		}
	})
}

// TestPodsReachEachOther has two pods, and two containers of one pod, talk.
func TestPodsReachEachOther(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		server, client := d.RunPod(t), d.RunPod(t)
		web := server.RunWith(t, daemon.WithImage(images.Nginx), daemon.WithCommand())
		web.WaitLog(t, "listening")
		beside, away := server.Run(t), client.Run(t)
		if got := beside.Output(t, "wget -q -O - http://127.0.0.1/"); !strings.Contains(got, "Welcome") {
			t.Errorf("over localhost: %q", got)
		}
		if got := away.Output(t, "wget -q -O - http://"+server.IP(t)+"/"); !strings.Contains(got, "Welcome") {
			t.Errorf("from pod to pod: %q", got)
		}
	})
}

func TestHostNetwork(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		pod := d.RunPod(t, daemon.WithNamespaces(runtimeapi.NamespaceMode_NODE, runtimeapi.NamespaceMode_NODE, runtimeapi.NamespaceMode_NODE),
			daemon.WithPod(func(c *runtimeapi.PodSandboxConfig) { c.Hostname = "" }))
		c := pod.Run(t)
		for _, kind := range []string{"net", "ipc", "uts", "pid"} {
			host, err := os.Readlink("/proc/self/ns/" + kind)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.TrimSpace(c.Output(t, "readlink /proc/self/ns/"+kind)); got != host {
				t.Errorf("%s is not the host's namespace", kind)
			}
		}
		hostname, _ := os.Hostname()
		if got := strings.TrimSpace(c.Output(t, "hostname; cat /etc/hostname")); got != hostname+"\n"+hostname {
			t.Errorf("hostname %q, the host's is %q", got, hostname)
		}
		if ip := pod.IP(t); ip != "" {
			t.Errorf("the pod has an address: %s", ip)
		}
		port := freePort(t)
		echo := pod.RunWith(t, daemon.WithImage(images.Tools), daemon.WithCommand("netecho", "-tcp", "127.0.0.1:"+itoa(port), "-udp", "127.0.0.1:"+itoa(port)))
		echo.WaitLog(t, "listening")
		wantEcho(t, "tcp", "127.0.0.1:"+itoa(port), 1<<16)
	})
}

func TestDNS(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		pod := d.RunPod(t, daemon.WithPod(func(c *runtimeapi.PodSandboxConfig) {
			c.Hostname = "a-pod"
			c.DnsConfig = &runtimeapi.DNSConfig{
				Servers: []string{"10.96.0.10", "fd00::10"}, Searches: []string{"ns.svc.cluster.local", "cluster.local"}, Options: []string{"ndots:5", "edns0"},
			}
		}))
		c := pod.Run(t)
		const want = "search ns.svc.cluster.local cluster.local\nnameserver 10.96.0.10\nnameserver fd00::10\noptions ndots:5 edns0\n"
		if got := c.Output(t, "cat /etc/resolv.conf"); got != want {
			t.Errorf("resolv.conf\n%s", got)
		}
		if got := c.Output(t, "hostname; cat /etc/hostname; echo $HOSTNAME"); got != "a-pod\na-pod\na-pod\n" {
			t.Errorf("hostname %q", got)
		}
		if got := c.Output(t, "cat /etc/hosts"); !strings.Contains(got, pod.IP(t)+"\ta-pod\n") || !strings.Contains(got, "127.0.0.1\tlocalhost") {
			t.Errorf("hosts\n%s", got)
		}
		bare := d.RunPod(t, daemon.WithPod(func(c *runtimeapi.PodSandboxConfig) { c.DnsConfig = nil })).Run(t)
		host, err := os.ReadFile("/etc/resolv.conf")
		if err != nil {
			t.Fatal(err)
		}
		if got := bare.Output(t, "cat /etc/resolv.conf"); got != string(host) {
			t.Errorf("without DNS configuration %q, the host has %q", got, host)
		}
	})
}
