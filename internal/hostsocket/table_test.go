package hostsocket

import (
	"net/netip"
	"os"
	"strings"
	"testing"
)

// endpoints is what sctp_eps_seq_show of the kernel (net/sctp/proc.c) writes for three endpoints that listen.
const endpoints = ` ENDPT     SOCK   STY SST HBKT LPORT   UID INODE LADDRS
       0        0 2   10  29   11165     0 30421 0.0.0.0 
       0        0 0   10  30   38412     0 30422 192.0.2.7 192.0.2.8 
       0        0 2   10  31   9899      0 30423 0000:0000:0000:0000:0000:0000:0000:0001 
`

// TestEndpoints: an SCTP endpoint that listens has its port, at each of the addresses that it is bound to.
func TestEndpoints(t *testing.T) {
	sockets := map[uint16][]socket{}
	parseEndpoints([]byte(endpoints), sockets)
	look := &Look{tables: map[string]table{"sctp": {sockets: sockets}}}
	for _, c := range []struct {
		addr  string
		port  uint16
		taken bool
	}{
		{"", 11165, true},
		{"127.0.0.1", 11165, true},
		{"::1", 11165, false},
		{"192.0.2.7", 38412, true},
		{"192.0.2.8", 38412, true},
		{"192.0.2.9", 38412, false},
		{"0.0.0.0", 38412, true},
		{"::1", 9899, true},
		{"0.0.0.0", 9899, false},
		{"", 9899, true},
		{"", 9900, false},
	} {
		addr, _ := netip.ParseAddr(c.addr)
		if got := look.Taken("sctp", addr, c.port); got != c.taken {
			t.Errorf("%q port %d: taken %t", c.addr, c.port, got)
		}
	}
}

// TestUnreadable: what cannot be looked up is not given away.
func TestUnreadable(t *testing.T) {
	look := &Look{tables: map[string]table{"sctp": {err: os.ErrPermission}}}
	if !look.Taken("sctp", all, 80) {
		t.Error("a port whose table cannot be read is free")
	}
}

// TestParseSockets: lines that are none of a table's are passed over.
func TestParseSockets(t *testing.T) {
	for _, text := range []string{
		"  sl  local_address rem_address   st\n", "0: 0100007F 00000000:0000 0A\n", "0: 0100007F:1F90\n", "0: 01000:1F90 0:0 0A\n",
		"0: 0100007G:1F90 00000000:0000 0A\n", "0: 0100007F:11F90 00000000:0000 0A\n", strings.Repeat(": ", 8), "",
	} {
		sockets := map[uint16][]socket{}
		if parseSockets([]byte(text), sockets); len(sockets) > 0 {
			t.Errorf("%q: %v", text, sockets)
		}
	}
}
