package netns

import (
	"fmt"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// InterfaceStats are the counters of one interface, since it was made.
type InterfaceStats struct {
	Name                string
	RxBytes, RxPackets  uint64
	RxErrors, RxDropped uint64
	TxBytes, TxPackets  uint64
	TxErrors, TxDropped uint64
}

// InterfaceName is the name of an interface as it can be told: a pod may give its own nearly any bytes,
// and one that is not UTF-8 would spoil the list of all pods for a client.
func InterfaceName(raw string) string { return strings.ToValidUTF8(raw, "\uFFFD") }

// Stats reads the counters of all interfaces in the network namespace at path, by netlink.
// The socket lives for this call only: one that is kept would keep the namespace alive.
// NotFound when path is no network namespace.
func Stats(path string) ([]InterfaceStats, error) {
	var handle *netlink.Handle
	err := Do(path, func() (err error) {
		handle, err = netlink.NewHandle(unix.NETLINK_ROUTE)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read interface counters: %w", err)
	}
	defer handle.Close()
	links, err := handle.LinkList()
	if err != nil {
		return nil, fmt.Errorf("read interface counters in %s: %w", path, err)
	}
	stats := make([]InterfaceStats, 0, len(links))
	for _, link := range links {
		attrs := link.Attrs()
		s := InterfaceStats{Name: InterfaceName(attrs.Name)}
		if c := attrs.Statistics; c != nil {
			s.RxBytes, s.RxPackets, s.RxErrors, s.RxDropped = c.RxBytes, c.RxPackets, c.RxErrors, c.RxDropped
			s.TxBytes, s.TxPackets, s.TxErrors, s.TxDropped = c.TxBytes, c.TxPackets, c.TxErrors, c.TxDropped
		}
		stats = append(stats, s)
	}
	return stats, nil
}
