package netns

import (
	"os/exec"
	"runtime"
	"strconv"
	"testing"
)

// TestStoppedProcessIsSealed looks at the process that makes the namespaces of a pod with a user
// namespace as a root container could that sees the host's processes: with the host's root user and
// the default capabilities.
func TestStoppedProcessIsSealed(t *testing.T) {
	podDir(t) // skips where namespaces cannot be made
	setpriv, err := exec.LookPath("setpriv")
	if err != nil {
		t.Skip(err)
	}
	runtime.LockOSThread() // the thread traces the process
	defer runtime.UnlockOSThread()
	maps := []IDMap{{ContainerID: 0, HostID: 200000, Length: 65536}}
	child, err := startStopped(Spec{Net: true, User: &UserSpec{UIDs: maps, GIDs: maps}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = child.Kill()
		_, _ = child.Wait()
	}()
	for _, name := range []string{"root/etc", "fd/0", "ns/mnt"} {
		file := "/proc/" + strconv.Itoa(child.Pid) + "/" + name
		ls := exec.Command(setpriv, "--bounding-set", "-all,+chown,+dac_override,+fowner,+kill,+setuid,+setgid,+net_raw,+sys_chroot,+mknod",
			"ls", "-dL", file)
		if out, err := ls.CombinedOutput(); err == nil {
			t.Errorf("a root user without CAP_SYS_PTRACE gets at %s", out)
		}
	}
}
