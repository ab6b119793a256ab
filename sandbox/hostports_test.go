package sandbox

import (
	"net"
	"testing"

	"github.com/berth-run/berth/cni"
)

// TestListens: only a socket that waits for anybody has its port, not a connection that the host made.
func TestListens(t *testing.T) {
	server, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	client, err := net.Dial("tcp4", server.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	wide, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer wide.Close()
	peer, err := net.Dial("udp4", wide.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	for name, c := range map[string]struct {
		protocol string
		port     int
		want     bool
	}{
		"a listener":               {"tcp", server.Addr().(*net.TCPAddr).Port, true},
		"a connection":             {"tcp", client.LocalAddr().(*net.TCPAddr).Port, false},
		"a UDP server":             {"udp", wide.LocalAddr().(*net.UDPAddr).Port, true},
		"a UDP client with a peer": {"udp", peer.LocalAddr().(*net.UDPAddr).Port, false},
	} {
		if got := listens(cni.PortMapping{Protocol: c.protocol, HostPort: int32(c.port), ContainerPort: 80}); got != c.want {
			t.Errorf("%s: %t, want %t", name, got, c.want)
		}
	}
}
