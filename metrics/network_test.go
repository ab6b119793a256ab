package metrics

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/berth-run/berth/sandbox/netns"
)

// The kernel lists the interfaces of another network namespace, and the namespace ends
// when its pin goes, whatever this process keeps open.
func TestNetReader(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root to make a network namespace")
	}
	n := &netReader{}
	defer n.close()
	err := netns.Scratch(func(path string) error {
		err := netns.Do(path, func() error {
			return netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "eth9"}, PeerName: "eth\xff"})
		})
		if err != nil {
			return err
		}
		nsid := int32(noNsid)
		want, err := netns.Stats(path)
		if err != nil {
			return err
		}
		for range 2 { // the second time the number is known
			got, err := n.read(path, &nsid)
			if err != nil {
				return err
			}
			if len(got) != len(want) || len(got) < 2 || nsid < 0 {
				t.Errorf("got %+v, want %+v, number %d", got, want, nsid)
			}
			for _, list := range [][]Interface{got, want} {
				if !slices.ContainsFunc(list, func(i Interface) bool { return i.Name == "eth\uFFFD" }) {
					t.Errorf("no valid name for what is not UTF-8: %+v", list)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	nsid := int32(noNsid)
	if _, err := n.read(filepath.Join(t.TempDir(), "absent"), &nsid); err == nil {
		t.Error("a namespace that does not exist")
	}
	nsid = 1 << 20
	if _, err := n.read("/proc/self/ns/net", &nsid); err == nil || nsid != noNsid {
		t.Errorf("a number that nothing has: %v, %d", err, nsid)
	}
	// It recovers.
	if _, err := n.read("/proc/self/ns/net", &nsid); err != nil {
		t.Error(err)
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
