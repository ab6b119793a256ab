package hostile

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/internal/netns"
)

// TestLoopbackOfTheHost: a pod that has CAP_NET_RAW, as pods have by default, sends packets to the host's 127.0.0.1, and
// packets that seem to come from there. Neither reaches a socket of the host, although another pod has published a port,
// for which the portmap plugin switches route_localnet on (CVE-2020-8558).
func TestLoopbackOfTheHost(t *testing.T) {
	d := target(t)
	d.RunPod(t, publishing(runtimeapi.Protocol_UDP, freeUDP(t)))
	bridge := d.Configuration.CNI.DefaultNetwork.Bridge
	if routed, err := os.ReadFile("/proc/sys/net/ipv4/conf/" + bridge + "/route_localnet"); err != nil || strings.TrimSpace(string(routed)) != "1" {
		t.Fatalf("route_localnet of %s is %q (%v): there is nothing to attack", bridge, routed, err)
	}
	attacker := d.RunPod(t)
	service, err := net.ListenPacket("udp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer service.Close()
	port := uint16(portOf(t, service.LocalAddr().String()))
	link, err := netlink.LinkByName(bridge)
	if err != nil {
		t.Fatal(err)
	}
	addrs, err := netlink.AddrList(link, unix.AF_INET)
	if err != nil || len(addrs) == 0 {
		t.Fatalf("the bridge has no address: %v", err)
	}
	gateway, _ := netip.AddrFromSlice(addrs[0].IP.To4())
	pod, loopback := netip.MustParseAddr(attacker.IP(t)), netip.MustParseAddr("127.0.0.1")
	// Packets of one pod arrive in the order in which they are sent, so once the last one is there the others never come.
	send := func() {
		err := netns.Do(d.Configuration.Paths().PodNetNS(attacker.ID), func() error {
			for _, p := range []datagram{
				{pod, loopback, port, "to loopback"}, {loopback, gateway, port, "from loopback"}, {pod, gateway, port, "honest"},
			} {
				if err := p.send(link.Attrs().HardwareAddr); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	receive := func() (got []string) {
		buffer := make([]byte, 100)
		for {
			n, _, err := service.ReadFrom(buffer)
			if err != nil {
				t.Fatal(err)
			}
			if got = append(got, string(buffer[:n])); got[len(got)-1] == "honest" {
				return got
			}
		}
	}
	send()
	if got := receive(); len(got) != 1 {
		t.Errorf("the host's service received %q", got)
	}
	// Without the rules the attack works: the test would see it.
	if out, err := exec.Command("nft", "flush", "table", "ip", "berth_loopback_"+strings.ReplaceAll(bridge, "-", "_")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	send()
	if got := receive(); len(got) == 1 {
		t.Error("the attack does not work without the rules either, so that this test shows nothing")
	}
	// The next pod that publishes a port has the rules made again.
	d.RunPod(t, publishing(runtimeapi.Protocol_UDP, freeUDP(t)))
	send()
	if got := receive(); len(got) != 1 {
		t.Errorf("after the rules were flushed the host's service received %q", got)
	}
}

func freeUDP(t *testing.T) int {
	t.Helper()
	l, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return portOf(t, l.LocalAddr().String())
}

// datagram is a UDP packet with addresses that a socket would not give it.
type datagram struct {
	from, to netip.Addr
	port     uint16
	text     string
}

// send writes the datagram into eth0 of the network namespace that the thread is in, to the station with that address.
func (p datagram) send(station net.HardwareAddr) error {
	link, err := netlink.LinkByName("eth0")
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	frame := append(append([]byte{}, station...), link.Attrs().HardwareAddr...)
	frame = binary.BigEndian.AppendUint16(frame, unix.ETH_P_IP)
	frame = append(frame, p.packet()...)
	return unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: link.Attrs().Index})
}

// packet is the IPv4 packet (RFC 791) with a UDP datagram that has no checksum (RFC 768).
func (p datagram) packet() []byte {
	udp := binary.BigEndian.AppendUint16(nil, p.port)
	udp = binary.BigEndian.AppendUint16(udp, p.port)
	udp = binary.BigEndian.AppendUint16(udp, uint16(8+len(p.text)))
	udp = append(udp, 0, 0)
	udp = append(udp, p.text...)
	ip := []byte{0x45, 0, 0, 0, 0, 0, 0, 0, 64, unix.IPPROTO_UDP, 0, 0}
	binary.BigEndian.PutUint16(ip[2:], uint16(20+len(udp)))
	ip = append(append(ip, p.from.AsSlice()...), p.to.AsSlice()...)
	var sum uint32
	for i := 0; i < len(ip); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(ip[i:]))
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	binary.BigEndian.PutUint16(ip[10:], ^uint16(sum))
	return append(ip, udp...)
}
