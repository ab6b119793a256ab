package rootfs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/berth-run/berth/shim/taskapi"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount")
	}
}

// layers makes n directories with one file each, and what else an overlay needs.
func layers(t *testing.T, n int) (base string, lower []string) {
	t.Helper()
	base = t.TempDir()
	if err := unix.Mount("tmpfs", base, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(base, unix.MNT_DETACH) })
	for i := range n {
		dir := filepath.Join(base, strings.Repeat("x", 60), fmt.Sprintf("snapshot-%d", i), "fs")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		lower = append(lower, dir)
	}
	for _, dir := range []string{"upper", "work", "target"} {
		if err := os.Mkdir(filepath.Join(base, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return base, lower
}

func TestOverlay(t *testing.T) {
	needRoot(t)
	for _, n := range []int{1, 3, 60} { // 60 are more than fit into a page
		base, lower := layers(t, n)
		target := filepath.Join(base, "target")
		before, _ := os.Getwd()
		err := Mount([]taskapi.Mount{{Type: "overlay", Source: "overlay", Options: []string{
			"index=off", "workdir=" + base + "/work", "upperdir=" + base + "/upper", "lowerdir=" + strings.Join(lower, ":"),
		}}}, target, nil)
		if err != nil {
			t.Errorf("%d layers: %v", n, err)
			continue
		}
		if ents, err := os.ReadDir(target); err != nil || len(ents) != n {
			t.Errorf("%d layers show %d files, %v", n, len(ents), err)
		}
		if after, _ := os.Getwd(); after != before {
			t.Errorf("the working directory is %s", after)
		}
		if err := unix.Mount("tmpfs", filepath.Join(target, "mnt"), "tmpfs", 0, ""); err == nil {
			t.Error("mounted on nothing")
		}
		if err := os.Mkdir(filepath.Join(target, "a b"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount("tmpfs", filepath.Join(target, "a b"), "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
		if err := Unmount(target); err != nil {
			t.Errorf("unmount with another below it: %v", err)
		}
		if ents, _ := os.ReadDir(target); len(ents) != 0 {
			t.Errorf("%d files are left", len(ents))
		}
		if err := Unmount(target); err != nil {
			t.Errorf("nothing to unmount: %v", err)
		}
	}
}

func TestReadOnlyBind(t *testing.T) {
	needRoot(t)
	base, lower := layers(t, 1)
	target := filepath.Join(base, "target")
	if err := Mount([]taskapi.Mount{{Type: "bind", Source: lower[0], Options: []string{"rbind", "ro", "rprivate"}}}, target, nil); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(target, "new"), nil, 0o644); err == nil {
		t.Error("it can be written")
	}
	f, err := os.Open(target)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := Unmount(target); err == nil {
		t.Error("a root in use was unmounted")
	}
	if err := Detach(target); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(target, "0")); err == nil {
		t.Error("it is still there")
	}
}

func TestFailedMountLeavesNothing(t *testing.T) {
	needRoot(t)
	base, lower := layers(t, 1)
	target := filepath.Join(base, "target")
	err := Mount([]taskapi.Mount{
		{Type: "bind", Source: lower[0], Options: []string{"bind"}}, {Type: "bind", Source: base + "/gone", Options: []string{"bind"}},
	}, target, nil)
	if err == nil {
		t.Fatal("mounted what is not there")
	}
	if ents, _ := os.ReadDir(target); len(ents) != 0 {
		t.Error("the first mount is left")
	}
}

func TestOptions(t *testing.T) {
	s, data, err := parse([]string{"ro", "nosuid", "rw", "lowerdir=/a", "noatime", "rslave", "defaults", "size=1k"})
	if want := uintptr(unix.MS_NOSUID | unix.MS_NOATIME | unix.MS_SLAVE | unix.MS_REC); err != nil || s.flags != want {
		t.Errorf("flags %#x, want %#x, %v", s.flags, want, err)
	}
	if got := strings.Join(data, ","); got != "lowerdir=/a,size=1k" {
		t.Errorf("data %q", got)
	}
	s, data, err = parse([]string{"uidmap=0:7:10,10:100:5", "gidmap=0:8:10", "ro"})
	if err != nil || len(data) != 0 || s.ids == nil || fmt.Sprint(*s.ids) != "{[{0 7 10} {10 100 5}] [{0 8 10}]}" {
		t.Errorf("mappings: %+v, %q, %v", s.ids, data, err)
	}
	for _, o := range []string{"loop", "uidmap=0:1", "gidmap=a:1:1", "uidmap=0:-1:1"} {
		if _, _, err := parse([]string{o}); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: %v", o, err)
		}
	}
}

func TestShorten(t *testing.T) {
	dir, short := shorten([]string{"a=b", "lowerdir=/var/l/1/fs:/var/l/12/fs", "c"})
	if dir != "/var/l/" || short != "a=b,lowerdir=1/fs:12/fs,c" {
		t.Errorf("%q, %q", dir, short)
	}
	if dir, _ := shorten([]string{"lowerdir=a:/b"}); dir != "" {
		t.Errorf("relative: %q", dir)
	}
}

// TestMappedOverlay looks at the owner of a file of a lower layer through a mapping.
func TestMappedOverlay(t *testing.T) {
	needRoot(t)
	base, lower := layers(t, 2)
	target := filepath.Join(base, "target")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	userns := func(m IDMap) (*os.File, error) {
		cmd := exec.Command("/bin/cat")
		cmd.Stdin = r
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: m.UIDs, GidMappings: m.GIDs}
		if err := cmd.Start(); err != nil {
			return nil, err
		}
		defer cmd.Wait()
		defer cmd.Process.Kill()
		return os.Open(fmt.Sprintf("/proc/%d/ns/user", cmd.Process.Pid))
	}
	err = Mount([]taskapi.Mount{{Type: "overlay", Source: "overlay", Options: []string{
		"uidmap=0:70000:1000", "gidmap=0:80000:1000",
		"workdir=" + base + "/work", "upperdir=" + base + "/upper", "lowerdir=" + strings.Join(lower, ":"),
	}}}, target, userns)
	if err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(target, "0"), &st); err != nil || st.Uid != 70000 || st.Gid != 80000 {
		t.Errorf("owner %d:%d, %v", st.Uid, st.Gid, err)
	}
	if _, err := os.Stat(target + ".lower"); err == nil {
		t.Error("the mapped lower directories are left")
	}
	if err := Unmount(target); err != nil {
		t.Error(err)
	}
}
