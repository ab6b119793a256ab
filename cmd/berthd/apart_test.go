package main

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

// TestListenApart: a free port that a pod publishes is passed over, and not offered twice.
func TestListenApart(t *testing.T) {
	var published []uint16
	l, err := listenApart("127.0.0.1:0", func(at netip.AddrPort) string {
		if len(published) == 3 {
			return ""
		}
		if slices.Contains(published, at.Port()) {
			t.Errorf("port %d is tried again", at.Port())
		}
		published = append(published, at.Port())
		return "pod a/b"
	})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if port := l.Addr().(*net.TCPAddr).AddrPort().Port(); len(published) != 3 || slices.Contains(published, port) {
		t.Errorf("listens on %d, pods publish %v", port, published)
	}
	for _, port := range published { // those that were passed over are free again
		again, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)))
		if err != nil {
			t.Error(err)
			continue
		}
		again.Close()
	}
}

// TestListenApartTaken: a port that was configured is not changed, and the search for a free one ends.
func TestListenApartTaken(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	fixed := free.Addr().String()
	free.Close()
	for _, address := range []string{fixed, "127.0.0.1:0"} {
		_, err := listenApart(address, func(netip.AddrPort) string { return "pod a/b" })
		if !errors.Is(err, errdefs.ErrFailedPrecondition) || !strings.Contains(err.Error(), "pod a/b") {
			t.Errorf("%s: %v", address, err)
		}
	}
}
