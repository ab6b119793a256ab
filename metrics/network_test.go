package metrics

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/berth-run/berth/internal/budget"
	"github.com/berth-run/berth/internal/netns"
)

// TestNetReader: the interfaces of another network namespace are listed, one alone is asked for by itself,
// and one that comes or goes is noticed.
func TestNetReader(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to make a network namespace")
	}
	n := &netReader{}
	defer n.close()
	err := netns.Scratch(func(path string) error {
		known := network{nsid: noNsid}
		change := func(fn func() error) {
			t.Helper()
			if err := netns.Do(path, fn); err != nil {
				t.Fatal(err)
			}
		}
		names := func() (names []string) {
			t.Helper()
			ifaces, err := n.read(path, &known)
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range ifaces {
				names = append(names, i.Name)
			}
			slices.Sort(names)
			return names
		}
		expect := func(when string, want ...string) {
			t.Helper()
			if got := names(); !slices.Equal(got, want) {
				t.Errorf("%s: %q, want %q", when, got, want)
			}
		}
		bridge := func(name string) func() error {
			return func() error { return netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: name}}) }
		}
		expect("nothing but lo")
		change(bridge("eth9"))
		expect("the first", "eth9")
		if known.nsid < 0 || known.link == 0 {
			t.Errorf("known of it: %+v", known)
		}
		change(func() error {
			return netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "net1"}, PeerName: "net\xff"})
		})
		expect("soon after two more came", "eth9")
		known.listed = time.Now().Add(-linkAge)
		expect("later", "eth9", "net1", "net\uFFFD")
		change(func() error { return netlink.LinkDel(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "net1"}}) })
		expect("when they are gone", "eth9")
		change(func() error { return netlink.LinkDel(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "eth9"}}) })
		expect("when all are gone")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	known := network{nsid: noNsid}
	if _, err := n.read(filepath.Join(t.TempDir(), "absent"), &known); err == nil {
		t.Error("a namespace that does not exist")
	}
	known.nsid = 1 << 20
	if _, err := n.read("/proc/self/ns/net", &known); err == nil || known.nsid != noNsid {
		t.Errorf("a number that nothing has: %v, %+v", err, known)
	}
	if _, err := n.read("/proc/self/ns/net", &known); err != nil {
		t.Errorf("after that: %v", err)
	}
}

// TestNetReaderCounts: both ways give what the kernel shows inside.
func TestNetReaderCounts(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to make a network namespace")
	}
	n := &netReader{}
	defer n.close()
	err := netns.Scratch(func(path string) error {
		err := netns.Do(path, func() error {
			la := netlink.LinkAttrs{Name: "eth9"}
			return netlink.LinkAdd(&netlink.Bridge{LinkAttrs: la})
		})
		if err != nil {
			return err
		}
		if err := netns.Do(path, sendTo("eth9")); err != nil {
			return err
		}
		known := network{nsid: noNsid}
		for _, way := range []string{"listed", "by itself"} {
			got, err := n.read(path, &known)
			if err != nil {
				return err
			}
			want, err := netns.Stats(path)
			if err != nil {
				return err
			}
			later := want[slices.IndexFunc(want, func(i Interface) bool { return i.Name == "eth9" })]
			if len(got) != 1 || got[0].Name != "eth9" || got[0].TxPackets == 0 || got[0].TxBytes == 0 ||
				got[0].TxPackets > later.TxPackets || got[0].TxBytes > later.TxBytes || got[0].RxPackets > later.RxPackets {
				t.Errorf("%s: %+v, and later %+v", way, got, later)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// sendTo sends a packet through an interface that it brings up.
func sendTo(name string) func() error {
	return func() error {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		addr, err := netlink.ParseAddr("192.0.2.1/24")
		if err != nil {
			return err
		}
		if err := errors.Join(netlink.AddrAdd(link, addr), netlink.LinkSetUp(link)); err != nil {
			return err
		}
		conn, err := net.Dial("udp", "192.0.2.255:9")
		if err != nil {
			return err
		}
		_, err = conn.Write([]byte("x"))
		return errors.Join(err, conn.Close())
	}
}

func TestTraffic(t *testing.T) {
	var i Interface
	raw := make([]byte, 8*24)
	for n := range 8 {
		raw[8*n] = byte(n + 1)
	}
	countTraffic(&i, raw)
	if i.RxPackets != 1 || i.TxPackets != 2 || i.RxBytes != 3 || i.TxBytes != 4 || i.RxErrors != 5 || i.TxErrors != 6 || i.RxDropped != 7 || i.TxDropped != 8 {
		t.Errorf("%+v", i)
	}
}

// TestSomeInterfaces: a pod with very many interfaces shows some, its default one among them.
func TestSomeInterfaces(t *testing.T) {
	var all []Interface
	for i := range 10_000 {
		all = append(all, Interface{Name: fmt.Sprint("d", i)})
	}
	all[9_000].Name = "eth0"
	got := someInterfaces(all, "eth0")
	if len(got) != budget.ReportedInterfaces || !slices.ContainsFunc(got, func(i Interface) bool { return i.Name == "eth0" }) {
		t.Errorf("%d interfaces, eth0 among them: no", len(got))
	}
}
