package cni

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzPodCIDR reads any ranges: those that are taken are at most one of each family, without host bits, and the same
// when they are read again.
func FuzzPodCIDR(f *testing.F) {
	for _, s := range []string{
		"", " ", "10.244.1.0/24", "10.244.1.7/24, fd00::/64", "10.0.0.0/8,10.1.0.0/16", "::ffff:10.0.0.0/120", "10.0.0.0/31",
		"fe80::1%eth0/64", ",", "0.0.0.0/0,::/0", "10.0.0.0/024",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, cidrs string) {
		prefixes, err := parseCIDRs(cidrs)
		if err != nil {
			return
		}
		var parts []string
		for i, p := range prefixes {
			if p != p.Masked() || p.Addr().Zone() != "" || p.Addr().Is4In6() {
				t.Errorf("%q has the range %v", cidrs, p)
			}
			if i > 1 || i == 1 && p.Addr().Is4() == prefixes[0].Addr().Is4() {
				t.Errorf("%q has the ranges %v", cidrs, prefixes)
			}
			parts = append(parts, p.String())
		}
		again, err := parseCIDRs(strings.Join(parts, ","))
		if err != nil || len(again) != len(prefixes) {
			t.Fatalf("%v, then %v, %v", prefixes, again, err)
		}
		for i := range again {
			if again[i] != prefixes[i] {
				t.Errorf("%v, then %v", prefixes, again)
			}
		}
		ranges, routes := ipam(prefixes, true)
		if len(ranges) != len(prefixes) || len(routes) != len(prefixes) {
			t.Errorf("%v gives the ranges %v and the routes %v", prefixes, ranges, routes)
		}
	})
}

// FuzzReservation puts any file where host-local keeps its reservations: only files that are named for addresses count,
// and a pod that garbage collection would undo has a name that stays in the directory of records.
func FuzzReservation(f *testing.F) {
	f.Add("10.88.0.2", "abc\r\neth0")
	f.Add("fd00::2", "abc")
	f.Add("last_reserved_ip.0", "10.88.0.2")
	f.Add("10.88.0.3", "../../etc\r\neth0")
	f.Add("10.88.0.4", "..\r\n")
	f.Add("10.88.0.5", "\r\n")
	dir := f.TempDir()
	m := &Manager{opts: Options{Default: DefaultNetwork{Enabled: true, Name: "n", DataDir: dir}, CacheDir: filepath.Join(dir, "cache")}}
	data := filepath.Join(dir, "n")
	if err := os.Mkdir(data, 0o700); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, name, text string) {
		path := filepath.Join(data, name)
		if name != filepath.Base(name) || os.WriteFile(path, []byte(text), 0o600) != nil {
			return // no name of a file
		}
		defer os.Remove(path)
		for file, id := range m.reservations() {
			if _, err := netip.ParseAddr(name); err != nil || file != path {
				t.Errorf("%q counts as a reservation of %q", name, id)
			}
			record := filepath.Join(m.recordDir(), id+".json")
			if validateID(id) == nil && filepath.Dir(record) != m.recordDir() {
				t.Errorf("pod %q has its record at %q", id, record)
			}
		}
	})
}
