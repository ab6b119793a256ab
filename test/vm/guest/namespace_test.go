package guest

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
	"github.com/berth-run/berth/test/images"
)

// cgroupMountOptions are those of the machine's cgroup2 superblock, which a careless mount in a
// container changes for all.
func cgroupMountOptions(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if _, super, ok := strings.Cut(line, " - cgroup2 "); ok {
			return strings.TrimSpace(super)
		}
	}
	t.Fatal("no cgroup2 mount")
	return ""
}

// TestCgroupNamespace looks at the cgroups from inside: a container sees its own as the root
// and cannot change it, a privileged one sees the machine's.
func TestCgroupNamespace(t *testing.T) {
	d := use(t)
	before := cgroupMountOptions(t)
	pod := d.RunPod(t, daemon.WithPod(func(c *runtimeapi.PodSandboxConfig) { c.Linux.SecurityContext.Privileged = true }))
	limit := withResources(&resources{MemoryLimitInBytes: 64 << 20})
	own := pod.RunWith(t, limit)
	if got := own.Output(t, "cat /proc/1/cgroup /sys/fs/cgroup/memory.max"); got != "0::/\n"+bytes(64<<20)+"\n" {
		t.Errorf("inside: %q", got)
	}
	if got := own.Output(t, "echo 1 2>/dev/null >/sys/fs/cgroup/memory.max || echo refused"); got != "refused\n" {
		t.Errorf("writing the limit: %q", got)
	}
	privileged := pod.RunWith(t, limit, func(c *runtimeapi.ContainerConfig) { c.Linux.SecurityContext.Privileged = true })
	path := strings.TrimPrefix(dirOf(t, privileged), cgroupRoot)
	if got := privileged.Output(t, "cat /proc/1/cgroup /sys/fs/cgroup"+path+"/memory.max"); got != "0::"+path+"\n"+bytes(64<<20)+"\n" {
		t.Errorf("inside the privileged one: %q", got)
	}
	if after := cgroupMountOptions(t); after != before {
		t.Errorf("the machine's cgroup mount is now %q, was %q", after, before)
	}
}

// TestCapable checks what needs CAP_SYS_RESOURCE, which a machine may lack that runs all
// other tests: OOM scores below the daemon's, limits above its own.
func TestCapable(t *testing.T) {
	d := use(t)
	var limit unix.Rlimit
	if err := unix.Prlimit(d.PID(), unix.RLIMIT_NOFILE, nil, &limit); err != nil {
		t.Fatal(err)
	}
	c := d.RunPod(t).RunWith(t, withResources(&resources{OomScoreAdj: -998}))
	if got := c.Output(t, "cat /proc/1/oom_score_adj"); got != "-998\n" {
		t.Errorf("oom_score_adj %q", got)
	}
	if got := strings.TrimSpace(c.Output(t, "ulimit -Sl; ulimit -Hl")); got != "unlimited\nunlimited" {
		t.Errorf("locked memory, configured as unlimited: %q", got)
	}
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(parentOf(t, pid(t, c))), "oom_score_adj"))
	if err != nil || strings.TrimSpace(string(b)) != "-998" {
		t.Errorf("the shim's oom_score_adj is %q (%v)", b, err)
	}
}

// parentOf is the parent of a process: for a container's first one, its shim.
func parentOf(t *testing.T, pid int) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')'):]))
	parent, err := strconv.Atoi(fields[2])
	if err != nil {
		t.Fatal(err)
	}
	return parent
}

const (
	firstID = 200000
	numIDs  = 65536
)

// withUserNamespace gives a pod a user namespace, as the kubelet does.
func withUserNamespace() daemon.PodOption {
	return daemon.WithPod(func(c *runtimeapi.PodSandboxConfig) {
		ids := []*runtimeapi.IDMapping{{HostId: firstID, ContainerId: 0, Length: numIDs}}
		c.Linux.SecurityContext.NamespaceOptions.UsernsOptions = &runtimeapi.UserNamespace{
			Mode: runtimeapi.NamespaceMode_POD, Uids: ids, Gids: ids,
		}
	})
}

// TestUserNamespace runs a pod whose root is nobody on the machine.
func TestUserNamespace(t *testing.T) {
	d := use(t)
	status, err := d.Runtime.Status(daemon.Context(t), &runtimeapi.StatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range status.GetRuntimeHandlers() {
		if !h.GetFeatures().GetUserNamespaces() {
			t.Fatalf("handler %q says that this kernel has no user namespaces for pods", h.GetName())
		}
	}
	pod := d.RunPod(t, withUserNamespace())
	c := pod.RunWith(t, daemon.WithImage(images.Tools), withResources(&resources{MemoryLimitInBytes: 64 << 20}))
	wantFiles(t, dirOf(t, c), map[string]string{"memory.max": bytes(64 << 20)})
	if got := strings.Fields(c.Output(t, "cat /proc/self/uid_map")); len(got) != 3 || got[1] != strconv.Itoa(firstID) {
		t.Errorf("uid_map %v", got)
	}
	if got := c.Output(t, "id -u; stat -c %u /bin/busybox /etc/hosts; cat /proc/1/cgroup; echo x >/file && stat -c %u /file"); got != "0\n0\n0\n0::/\n0\n" {
		// /etc/hosts is on a tmpfs, which this kernel cannot map: it may belong to nobody.
		if got != "0\n0\n65534\n0::/\n0\n" {
			t.Errorf("inside: %q", got)
		}
	}
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join("/proc", strconv.Itoa(pid(t, c))), &st); err != nil || st.Uid != firstID {
		t.Errorf("the process runs as %d (%v)", st.Uid, err)
	}
	c2 := pod.RunWith(t, daemon.WithShell("hostname; cat /etc/resolv.conf >/dev/null && cat /etc/hosts | wc -l; exit 4"))
	if status := c2.WaitExited(t); status.GetExitCode() != 4 {
		t.Errorf("ended with %d: %q", status.GetExitCode(), c2.LogText(t, "stdout")+c2.LogText(t, "stderr"))
	}
}
