package host

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// TestLeftovers leaves one thing of each kind behind, and expects to be told.
func TestLeftovers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes mounts, cgroups and network interfaces")
	}
	dir, cgroup := t.TempDir(), "/berth-host-test"
	scope := Scope{
		Dir: dir, Files: []string{dir}, SkipFiles: []string{filepath.Join(dir, "skipped")}, PID: os.Getpid(),
		Bridges: []string{"berthtest"}, Subnets: []netip.Prefix{netip.MustParsePrefix("10.231.9.0/24")}, Cgroups: []string{cgroup},
	}
	before, err := Take(t.Context(), scope)
	if err != nil {
		t.Fatal(err)
	}
	want := leave(t, dir, cgroup)
	now, err := Take(t.Context(), scope)
	if err != nil {
		t.Fatal(err)
	}
	left := now.Since(before)
	for _, thing := range want {
		if !slices.ContainsFunc(left, func(l string) bool { return strings.Contains(l, thing) }) {
			t.Errorf("did not notice %q", thing)
		}
	}
	if slices.ContainsFunc(left, func(l string) bool { return strings.HasPrefix(l, "file "+dir+"/skipped") }) {
		t.Errorf("counts what it should skip: %q", left)
	}
	if err := AwaitClean(t.Context(), scope, now); err != nil {
		t.Errorf("nothing has changed: %v", err)
	}
}

// leave makes things that last until the end of the test, and returns their names.
func leave(t *testing.T, dir, cgroup string) []string {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	id := strings.Repeat("0123456789abcdef", 4)
	for _, name := range []string{"mounted", id, "skipped"} {
		must(os.Mkdir(filepath.Join(dir, name), 0o755))
	}
	must(os.WriteFile(filepath.Join(dir, "skipped", "file"), nil, 0o644))
	must(unix.Mount("tmpfs", filepath.Join(dir, "mounted"), "tmpfs", 0, ""))
	t.Cleanup(func() { _ = unix.Unmount(filepath.Join(dir, "mounted"), 0) })
	roots, err := hierarchies()
	must(err)
	path := filepath.Join(roots[0], cgroup, id)
	must(os.MkdirAll(path, 0o755))
	t.Cleanup(func() { _, _ = os.Remove(path), os.Remove(filepath.Dir(path)) })
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "vbtest0"}, PeerName: "vbtest1"}
	must(netlink.LinkAdd(veth))
	t.Cleanup(func() { _ = netlink.LinkDel(veth) })
	must(exec.Command("nft", "add table ip berthtest; add chain ip berthtest c; add rule ip berthtest c ip saddr 10.231.9.7 accept").Run())
	t.Cleanup(func() { _ = exec.Command("nft", "delete table ip berthtest").Run() })
	sleep := exec.Command("sleep", "100")
	sleep.Dir = dir
	must(sleep.Start())
	t.Cleanup(func() { _, _ = sleep.Process.Kill(), sleep.Wait() })
	file, err := os.Open(filepath.Join(dir, "skipped", "file"))
	must(err)
	t.Cleanup(func() { file.Close() })
	return []string{
		"mount " + dir + "/mounted", "file " + filepath.Join(dir, id), "cgroup " + path, "link vbtest0",
		"rule in table ip berthtest, chain c: ip saddr 10.231.9.7", ": sleep 100", "descriptor " + file.Name(),
	}
}

func TestParseGoroutines(t *testing.T) {
	const dump = "goroutine profile: total 5\n" +
		"1 @ 0x1 0x2\n#\t0x1\tos.Open+0x1\t/x/o.go:1\n#\t0x1\tmain.wait+0x10\t/x/main.go:1\n#\t0x2\tmain.run+0x20\t/x/main.go:2\n#\t0x3\tmain.start+0x20\t/x/main.go:3\n\n" +
		"3 @ 0x1 0x2\n#\t0x1\tmain.wait+0x10\t/x/main.go:1\n#\t0x2\tmain.run+0x20\t/x/main.go:2\n#\t0x3\tmain.start+0x20\t/x/main.go:3\n\n" +
		"1 @ 0x3\n#\t0x3\tnet/http.(*persistConn).readLoop+0x1\t/x/h.go:1\n"
	s := Snapshot{}
	if err := parseGoroutines(strings.NewReader(dump), s); err != nil {
		t.Fatal(err)
	}
	if len(s) != 1 || s["goroutine main.wait < main.run < main.start"] != 4 {
		t.Errorf("%v", s)
	}
	more := Snapshot{"goroutine main.wait < main.run < main.start": 5}
	if left := more.Since(s); !slices.Equal(left, []string{"goroutine main.wait < main.run < main.start (5, were 4)"}) {
		t.Errorf("%q", left)
	}
}
