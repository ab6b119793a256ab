package hostsocket

import (
	"bytes"
	"net/netip"
	"testing"
)

// FuzzTables: whatever a table says, reading it ends, costs a line of it one socket at most for each address, and the
// look-up of any port answers.
func FuzzTables(f *testing.F) {
	f.Add([]byte(endpoints), uint16(11165))
	f.Add([]byte("0: 0100007F:1F90 00000000:0000 0A\n1: 00000000000000000000000001000000:1F90 0:0 0A\n"), uint16(8080))
	f.Fuzz(func(t *testing.T, content []byte, port uint16) {
		tcp, sctp := map[uint16][]socket{}, map[uint16][]socket{}
		parseSockets(content, tcp)
		parseEndpoints(content, sctp)
		for name, sockets := range map[string]map[uint16][]socket{"tcp": tcp, "sctp": sctp} {
			n := 0
			for _, s := range sockets {
				n += len(s)
			}
			if fields := len(bytes.Fields(content)); n > fields {
				t.Errorf("%s: %d sockets from %d fields", name, n, fields)
			}
			look := &Look{tables: map[string]table{name: {sockets: sockets}}}
			if waits, connected := look.find(name, netip.Addr{}, port); len(sockets[port]) > 0 && !waits && !connected {
				t.Errorf("%s: port %d is in the table and is not found", name, port)
			}
		}
	})
}
