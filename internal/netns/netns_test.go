package netns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes and mounts namespaces")
	}
}

// podDir is a pod's ns directory; at the end of the test nothing may be left of it: no pin, no
// mount, and no thread of this process in a foreign namespace.
func podDir(t *testing.T) string {
	t.Helper()
	needRoot(t)
	base := t.TempDir()
	t.Cleanup(func() {
		mounts, err := os.ReadFile("/proc/self/mountinfo")
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(mounts), base) {
			t.Errorf("a mount is left below %s", base)
		}
		strayThreads(t)
	})
	return filepath.Join(base, "pod", "ns")
}

// strayThreads fails the test when a thread stays outside the namespaces of the process. Threads
// that are ending may still be there for a moment.
func strayThreads(t *testing.T) {
	t.Helper()
	for _, kind := range []Kind{Net, IPC, UTS, User} {
		home, err := os.Readlink("/proc/self/ns/" + string(kind))
		if err != nil {
			t.Fatal(err)
		}
		deadline := time.Now().Add(5 * time.Second)
		for {
			stray := ""
			tasks, _ := filepath.Glob("/proc/self/task/*/ns/" + string(kind))
			for _, task := range tasks {
				if ns, err := os.Readlink(task); err == nil && ns != home {
					stray = task
				}
			}
			if stray == "" {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("thread %s is still in a foreign namespace", stray)
			}
			time.Sleep(time.Millisecond)
		}
	}
}

func mustCreate(t *testing.T, spec Spec) {
	t.Helper()
	if err := Create(context.Background(), spec); err != nil {
		t.Fatalf("Create: %v", err)
	}
	t.Cleanup(func() {
		if err := Remove(context.Background(), spec.Dir); err != nil {
			t.Errorf("Remove: %v", err)
		}
	})
}

// inside runs a command in the pinned namespaces.
func inside(t *testing.T, dir string, kinds []Kind, args ...string) string {
	t.Helper()
	var nsenter []string
	for _, kind := range kinds {
		nsenter = append(nsenter, fmt.Sprintf("--%s=%s", kind, Path(dir, kind)))
	}
	out, err := exec.Command("nsenter", append(nsenter, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func TestCreateAndRemove(t *testing.T) {
	dir := podDir(t)
	all := []Kind{Net, IPC, UTS}
	mustCreate(t, Spec{Dir: dir, Net: true, IPC: true, UTS: true, Hostname: "pod-a", Sysctls: map[string]string{
		"net.ipv4.ip_forward":          "1",
		"net/ipv4/tcp_syncookies":      "0",
		"kernel.shm_rmid_forced":       "1",
		"kernel.msgmax":                "8191",
		"fs.mqueue.msg_max":            "11",
		"kernel.domainname":            "example",
		"net.ipv4.conf.eth0.rp_filter": "0", // has to wait for eth0
	}})
	pins, err := Verify(dir)
	if err != nil || pins != (Pins{Net: true, IPC: true, UTS: true}) {
		t.Fatalf("Verify: %+v, %v", pins, err)
	}
	for file, want := range map[string]string{
		"net/ipv4/ip_forward": "1", "net/ipv4/tcp_syncookies": "0", "kernel/shm_rmid_forced": "1",
		"kernel/msgmax": "8191", "fs/mqueue/msg_max": "11", "kernel/domainname": "example", "kernel/hostname": "pod-a",
	} {
		if got := inside(t, dir, all, "cat", "/proc/sys/"+file); got != want {
			t.Errorf("%s is %q, want %q", file, got, want)
		}
	}
	if out := inside(t, dir, all, "ip", "-o", "link", "show", "lo"); !strings.Contains(out, ",UP") {
		t.Errorf("lo is not up: %s", out)
	}
	if err := Create(context.Background(), Spec{Dir: dir, Net: true}); !errdefs.IsAlreadyExists(err) {
		t.Errorf("second Create: %v, want AlreadyExists", err)
	}
	for range 2 {
		if err := Remove(context.Background(), dir); err != nil {
			t.Fatalf("Remove: %v", err)
		}
	}
	if pins, err := Verify(dir); err != nil || pins != (Pins{}) {
		t.Errorf("after Remove: %+v, %v", pins, err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("directory is still there: %v", err)
	}
}

func TestUserNamespaceOwnsTheOthers(t *testing.T) {
	dir := podDir(t)
	if _, err := os.Stat("/proc/self/ns/user"); err != nil {
		t.Skip("kernel has no user namespaces")
	}
	maps := []IDMap{{ContainerID: 0, HostID: 200000, Length: 65536}}
	all := []Kind{User, Net, IPC, UTS}
	mustCreate(t, Spec{Dir: dir, Net: true, IPC: true, UTS: true, Hostname: "pod-u", User: &UserSpec{UIDs: maps, GIDs: maps},
		Sysctls: map[string]string{"net.ipv4.ip_forward": "1", "kernel.msgmax": "8191", "fs.mqueue.msg_max": "11", "kernel.shm_rmid_forced": "1"}})
	pins, err := Verify(dir)
	if err != nil || pins != (Pins{Net: true, IPC: true, UTS: true, User: true}) {
		t.Fatalf("Verify: %+v, %v", pins, err)
	}
	owner, err := os.Stat(Path(dir, User))
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []Kind{Net, IPC, UTS} {
		if got := ownerOf(t, Path(dir, kind)); !os.SameFile(got, owner) {
			t.Errorf("%s is not owned by the pod's user namespace", kind)
		}
	}
	if got := strings.Fields(inside(t, dir, []Kind{User}, "cat", "/proc/self/uid_map")); len(got) != 3 || got[1] != "200000" || got[2] != "65536" {
		t.Errorf("uid_map: %v", got)
	}
	if got := inside(t, dir, []Kind{User}, "cat", "/proc/self/setgroups"); got != "allow" {
		t.Errorf("setgroups is %q: supplementary groups would not work", got)
	}
	for file, want := range map[string]string{"net/ipv4/ip_forward": "1", "kernel/msgmax": "8191", "fs/mqueue/msg_max": "11", "kernel/hostname": "pod-u"} {
		if got := inside(t, dir, all, "cat", "/proc/sys/"+file); got != want {
			t.Errorf("%s is %q, want %q", file, got, want)
		}
	}
	if out := inside(t, dir, all, "ip", "-o", "link", "show", "lo"); !strings.Contains(out, ",UP") {
		t.Errorf("lo is not up: %s", out)
	}
}

// ownerOf is the user namespace that owns the namespace at path (NS_GET_USERNS).
func ownerOf(t *testing.T, path string) os.FileInfo {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fd, err := unix.IoctlRetInt(int(f.Fd()), unix.NS_GET_USERNS)
	if err != nil {
		t.Fatal(err)
	}
	owner := os.NewFile(uintptr(fd), "owner")
	defer owner.Close()
	info, err := owner.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func TestRemoveEndsTheNamespace(t *testing.T) {
	dir := podDir(t)
	mustCreate(t, Spec{Dir: dir, Net: true})
	link := vethInto(t, Path(dir, Net))
	// A copy in a mount namespace of somebody else's, which propagation does not reach.
	holder := exec.Command("unshare", "--mount", "--propagation", "private", "sleep", "60")
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = holder.Process.Kill(); _ = holder.Wait() }()
	awaitFile(t, fmt.Sprintf("/proc/%d/mountinfo", holder.Process.Pid), dir)

	if err := Remove(context.Background(), dir); err != nil {
		t.Fatal(err)
	}
	awaitLinkGone(t, link)
}

// awaitLinkGone waits until an interface is gone, as one end of a veth is when the network namespace
// of the other end is.
func awaitLinkGone(t *testing.T, link string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if _, err := netlink.LinkByName(link); err != nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the network namespace lives on after Remove")
		}
	}
}

// A container that binds the host's directories recursively must not get the pins.
func TestPinsAreNotCopiedByRecursiveBind(t *testing.T) {
	dir := podDir(t)
	mustCreate(t, Spec{Dir: dir, Net: true})
	target := t.TempDir()
	if err := unix.Mount(filepath.Dir(dir), target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(target, unix.MNT_DETACH)
	if IsNamespace(filepath.Join(target, "ns", "net")) {
		t.Error("the recursive bind holds a copy of the pin")
	}
	if !IsNamespace(Path(dir, Net)) {
		t.Error("the pin itself is gone")
	}
}

// Pins below a shared mount, which /run is under systemd, must not reach its peers.
func TestPinsDoNotPropagate(t *testing.T) {
	dir := podDir(t)
	base := filepath.Dir(filepath.Dir(dir))
	if err := unix.Mount(base, base, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(base, unix.MNT_DETACH)
	if err := unix.Mount("", base, "", unix.MS_SHARED, ""); err != nil {
		t.Fatal(err)
	}
	peer := t.TempDir()
	if err := unix.Mount(base, peer, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(peer, unix.MNT_DETACH)
	if err := Create(context.Background(), Spec{Dir: dir, Net: true}); err != nil {
		t.Fatal(err)
	}
	if IsNamespace(filepath.Join(peer, "pod", "ns", "net")) {
		t.Error("the pin has propagated to a peer mount")
	}
	if err := Remove(context.Background(), dir); err != nil {
		t.Fatal(err)
	}
}

// A crash in the middle of Create leaves files and mounts that are no namespaces.
func TestCreateAfterACrash(t *testing.T) {
	dir := podDir(t)
	if err := prepareDir(Spec{Dir: dir, Net: true, UTS: true}); err != nil {
		t.Fatal(err)
	}
	mustCreate(t, Spec{Dir: dir, Net: true, IPC: true})
	if pins, err := Verify(dir); err != nil || pins != (Pins{Net: true, IPC: true}) {
		t.Fatalf("Verify: %+v, %v", pins, err)
	}
	if _, err := os.Stat(Path(dir, UTS)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the old pin file is still there: %v", err)
	}
}

func TestFailedCreateLeavesNothing(t *testing.T) {
	maps := []IDMap{{HostID: 200000, Length: 65536}}
	for name, spec := range map[string]Spec{
		"unshare": {Net: true, UTS: true},
		"user":    {Net: true, IPC: true, User: &UserSpec{UIDs: maps, GIDs: maps}},
	} {
		t.Run(name, func(t *testing.T) {
			spec.Dir = podDir(t)
			spec.Sysctls = map[string]string{"net.ipv4.no_such_thing": "1"}
			err := Create(context.Background(), spec)
			if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), "no_such_thing") {
				t.Errorf("Create: %v", err)
			}
			if _, err := os.Stat(spec.Dir); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("directory is still there: %v", err)
			}
		})
	}
}

func TestDoAndStats(t *testing.T) {
	dir := podDir(t)
	mustCreate(t, Spec{Dir: dir, Net: true})
	vethInto(t, Path(dir, Net))
	stats, err := Stats(Path(dir, Net))
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, s := range stats {
		names[s.Name] = true
	}
	if len(names) != 2 || !names["lo"] || !names["eth0"] {
		t.Errorf("interfaces %v, want lo and eth0", names)
	}
	var conn net.PacketConn
	if err := Do(Path(dir, Net), func() (err error) {
		conn, err = net.ListenPacket("udp", "127.0.0.1:0")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range 2 {
		if _, err := conn.WriteTo([]byte("x"), conn.LocalAddr()); err != nil {
			t.Fatal(err)
		}
	}
	stats, err = Stats(Path(dir, Net))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range stats {
		if s.Name == "lo" && (s.RxPackets < 2 || s.TxPackets != s.RxPackets || s.RxBytes == 0) {
			t.Errorf("lo counters after a ping: %+v", s)
		}
	}
	for _, path := range []string{"", "/nonexistent", Path(dir, UTS), "/etc/passwd"} {
		if _, err := Stats(path); !errdefs.IsNotFound(err) {
			t.Errorf("Stats(%q): %v, want NotFound", path, err)
		}
	}
	if err := Do(Path(dir, Net), func() error { panic("boom") }); err == nil || !strings.Contains(err.Error(), "boom") {
		t.Errorf("panic in Do: %v", err)
	}
}

// Do from many goroutines, among them the main thread's, leaves every thread where it was.
func TestDoConcurrently(t *testing.T) {
	dir := podDir(t)
	mustCreate(t, Spec{Dir: dir, Net: true})
	want, err := os.Stat(Path(dir, Net))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for range 20 {
				err := Do(Path(dir, Net), func() error {
					got, err := os.Stat("/proc/thread-self/ns/net")
					if err == nil && !os.SameFile(got, want) {
						return errors.New("not in the namespace")
					}
					return err
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// vethInto makes a veth pair with eth0 in the namespace and returns the host side's name.
func vethInto(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	name := fmt.Sprintf("btest%d", os.Getpid()%100000)
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsFd(f.Fd())}
	if err := netlink.LinkAdd(veth); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if link, err := netlink.LinkByName(name); err == nil {
			_ = netlink.LinkDel(link)
		}
	})
	return name
}

func awaitFile(t *testing.T, file, content string) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		data, err := os.ReadFile(file)
		// unshare keeps the parent's mounts, so wait for the exec that follows the unshare.
		comm, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "comm"))
		if err == nil && strings.Contains(string(data), content) && strings.TrimSpace(string(comm)) == "sleep" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s never had %q", file, content)
		}
	}
}

func BenchmarkCreateRemove(b *testing.B) {
	if os.Geteuid() != 0 {
		b.Skip("needs root")
	}
	dir := filepath.Join(b.TempDir(), "ns")
	maps := []IDMap{{HostID: 200000, Length: 65536}}
	for name, spec := range map[string]Spec{
		"uts":  {Dir: dir, UTS: true, Hostname: "a"},
		"all":  {Dir: dir, Net: true, IPC: true, UTS: true, Hostname: "a"},
		"user": {Dir: dir, Net: true, IPC: true, UTS: true, Hostname: "a", User: &UserSpec{UIDs: maps, GIDs: maps}},
	} {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				if err := Create(context.Background(), spec); err != nil {
					b.Fatal(err)
				}
				if err := Remove(context.Background(), dir); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
