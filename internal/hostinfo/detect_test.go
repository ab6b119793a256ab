package hostinfo

import (
	"errors"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

// common are files that every tree has.
var common = map[string]string{
	"proc/self/status": "Name:\tberthd\nCapPrm:\t000001ffffffffff\nCapBnd:\t000001ffffffffff\n",
	"proc/self/limits": "Limit                     Soft Limit           Hard Limit           Units     \n" +
		"Max open files            1024                 524288               files     \n" +
		"Max core file size        0                    unlimited            bytes     \n",
	"proc/self/oom_score_adj":               "-999\n",
	"proc/self/uid_map":                     "         0          0 4294967295\n",
	"proc/self/cgroup":                      "0::/system.slice/berth.service\n",
	"proc/self/attr/current":                "unconfined_t\x00",
	"proc/meminfo":                          "MemTotal:       1000 kB\nSwapTotal:       2048 kB\n",
	"proc/sys/kernel/osrelease":             "6.12.3-amd64\n",
	"proc/sys/kernel/cap_last_cap":          "40\n",
	"proc/sys/user/max_user_namespaces":     "1000\n",
	"proc/sys/kernel/seccomp/actions_avail": "kill_process allow\n",
}

const (
	v2Mounts = "30 20 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n" +
		"31 20 0:27 / /sys/fs/selinux rw,relatime - selinuxfs selinuxfs rw\n" +
		"32 20 0:28 / /sys/fs/resctrl rw,relatime - resctrl resctrl rw\n"
	hybridMounts = "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n" +
		"32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n" +
		"35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,seclabel,memory\n" +
		"40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,release_agent=/lib/x,name=systemd\n" +
		"50 60 0:32 / /other/place/memory rw,relatime - cgroup cgroup rw,memory\n"
	unifiedMount = "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"
	roSELinux    = "42 31 0:39 / /sys/fs/selinux ro,relatime - selinuxfs selinuxfs rw\n"
)

// tree makes the files and answers options that point to them.
func tree(t *testing.T, files ...map[string]string) Options {
	t.Helper()
	root := t.TempDir()
	for _, set := range files {
		for name, content := range set {
			p := filepath.Join(root, name)
			if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
				t.Fatal(err)
			}
			if content == "-" {
				if err := os.Remove(p); err != nil {
					t.Fatal(err)
				}
				continue
			}
			if err := os.WriteFile(p, []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	return Options{
		ProcRoot: filepath.Join(root, "proc"), SysRoot: filepath.Join(root, "sys"), RunRoot: filepath.Join(root, "run"),
		LookPath:     func(string) (string, error) { return "/sbin/apparmor_parser", nil },
		MountSetattr: func() bool { return true },
	}
}

// full is a systemd host with cgroup v2 and everything switched on.
var full = map[string]string{
	"proc/self/mountinfo":                                      v2Mounts,
	"sys/fs/cgroup/cgroup.controllers":                         "cpuset cpu io memory hugetlb pids\n",
	"sys/fs/cgroup/system.slice/berth.service/memory.swap.max": "max\n",
	"sys/module/apparmor/parameters/enabled":                   "Y\n",
	"sys/kernel/security/apparmor/profiles":                    "",
	"run/systemd/system/x":                                     "",
}

func detect(t *testing.T, o Options) *Info {
	t.Helper()
	i, err := Detect(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func TestFullHost(t *testing.T) {
	i := detect(t, tree(t, common, full))
	for name, ok := range map[string]bool{
		"v2": i.Cgroup.IsV2(), "hugetlb": i.Cgroup.Has("hugetlb"), "freezer": i.Cgroup.Has("freezer"), "systemd": i.Systemd,
		"swap": i.Swap, "swap total": i.SwapTotal == 2048<<10, "seccomp": i.Seccomp, "AppArmor": i.AppArmor, "its parser": i.AppArmorParser,
		"SELinux": i.SELinux, "resctrl": i.Resctrl, "user namespaces": i.UserNamespaces, "not in one": !i.InUserNamespace,
		"rro": i.RecursiveReadOnly, "idmap": i.IDMapSyscall, "can raise": i.CanRaiseLimits(), "OOM": i.OOMScoreAdj == -999,
		"nofile": i.Rlimits["RLIMIT_NOFILE"] == Rlimit{1024, 524288}, "core": i.Rlimits["RLIMIT_CORE"] == Rlimit{0, math.MaxUint64},
		"kernel": i.Kernel.AtLeast(6, 12) && !i.Kernel.AtLeast(6, 13) && !i.Kernel.AtLeast(7, 0),
		"caps":   len(i.Capabilities) == 41 && slices.Equal(i.Capabilities, i.OwnCapabilities) && i.HasCapability("CAP_SYS_ADMIN"),
	} {
		if !ok {
			t.Errorf("wrong: %s in %+v", name, i)
		}
	}
	if w := i.Warnings(); len(w) != 0 {
		t.Errorf("a host with everything has warnings: %q", w)
	}
}

func TestHybridAndV1(t *testing.T) {
	for _, c := range []struct {
		mounts, swapFile string
		mode             CgroupMode
		swap             bool
	}{
		{hybridMounts + unifiedMount, "sys/fs/cgroup/memory/memory.memsw.limit_in_bytes", CgroupHybrid, true},
		{hybridMounts, "sys/fs/cgroup/memory/other", CgroupV1, false},
	} {
		i := detect(t, tree(t, common, full, map[string]string{"proc/self/mountinfo": c.mounts + roSELinux, c.swapFile: ""}))
		if i.Cgroup.Mode != c.mode || i.Cgroup.IsV2() || i.Swap != c.swap || i.SELinux {
			t.Errorf("got %+v", i)
		}
		want := map[string]string{"cpu": "/sys/fs/cgroup/cpu,cpuacct", "cpuacct": "/sys/fs/cgroup/cpu,cpuacct",
			"memory": "/sys/fs/cgroup/memory", "name=systemd": "/sys/fs/cgroup/systemd"}
		if len(i.Cgroup.Controllers) != len(want) {
			t.Errorf("got %v", i.Cgroup.Controllers)
		}
		for name, dir := range want {
			if i.Cgroup.Controllers[name] != dir {
				t.Errorf("%s is at %q, not %q", name, i.Cgroup.Controllers[name], dir)
			}
		}
	}
}

// TestPoorHost takes one thing away at a time and looks for the warning.
func TestPoorHost(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		says  string
	}{
		"no seccomp":           {map[string]string{"proc/sys/kernel/seccomp/actions_avail": "-"}, "seccomp"},
		"AppArmor off":         {map[string]string{"sys/module/apparmor/parameters/enabled": "N\n"}, "AppArmor is not enabled"},
		"old kernel":           {map[string]string{"proc/sys/kernel/osrelease": "5.10.0"}, "mount_setattr"},
		"no user namespaces":   {map[string]string{"proc/sys/user/max_user_namespaces": "0"}, "hostUsers"},
		"inside of one":        {map[string]string{"proc/self/uid_map": "0 1000 65536\n"}, "inside a user namespace"},
		"no CAP_SYS_RESOURCE":  {map[string]string{"proc/self/status": "CapPrm:\t000001fffeffffff\nCapBnd:\t000001ffffffffff\n"}, "CAP_SYS_RESOURCE"},
		"not in bounding set":  {map[string]string{"proc/self/status": "CapPrm:\t000001ffffffffff\nCapBnd:\t000001fffeffffff\n"}, "CAP_SYS_RESOURCE"},
		"no hugetlb":           {map[string]string{"sys/fs/cgroup/cgroup.controllers": "cpuset cpu memory pids"}, "hugetlb"},
		"no memory controller": {map[string]string{"sys/fs/cgroup/cgroup.controllers": "cpuset cpu pids hugetlb"}, "controller memory"},
		"no swap accounting":   {map[string]string{"sys/fs/cgroup/system.slice/berth.service/memory.swap.max": "-"}, "swap"},
		"unreadable limits":    {map[string]string{"proc/self/limits": "nonsense"}, "resource limits cannot be read"},
		"unreadable OOM score": {map[string]string{"proc/self/oom_score_adj": "x"}, "oom_score_adj"},
		"strange kernel":       {map[string]string{"proc/sys/kernel/osrelease": "next"}, "version"},
		"no last capability":   {map[string]string{"proc/sys/kernel/cap_last_cap": "-"}, "last capability"},
	} {
		t.Run(name, func(t *testing.T) {
			i := detect(t, tree(t, common, full, c.files))
			if !slices.ContainsFunc(i.Warnings(), func(w string) bool { return strings.Contains(w, c.says) }) {
				t.Errorf("no %q in %q", c.says, i.Warnings())
			}
		})
	}
	o := tree(t, common, full)
	o.LookPath = func(string) (string, error) { return "", errors.New("no") }
	if w := detect(t, o).Warnings(); len(w) != 1 || !strings.Contains(w[0], "apparmor_parser") {
		t.Errorf("got %q", w)
	}
}

// TestSwapAtRoot: a daemon in the root cgroup, which has no limits, looks at a child, and
// at the kernel where there is none.
func TestSwapAtRoot(t *testing.T) {
	const own = "sys/fs/cgroup/system.slice/berth.service/memory.swap.max"
	for name, c := range map[string]struct {
		files map[string]string
		want  bool
	}{
		"a child":        {map[string]string{"sys/fs/cgroup/init.scope/memory.swap.max": "max"}, true},
		"no child":       {map[string]string{"proc/swaps": ""}, true},
		"no accounting":  {map[string]string{"proc/swaps": "", "proc/cmdline": "ro swapaccount=0\n"}, false},
		"no swap at all": {nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{"proc/self/cgroup": "0::/\n", own: "-"}
			maps.Copy(files, c.files)
			if i := detect(t, tree(t, common, full, files)); i.Swap != c.want {
				t.Errorf("swap accounting %v, want %v", i.Swap, c.want)
			}
		})
	}
}

// TestOldKernelCapabilities: what the kernel does not know is not there.
func TestOldKernelCapabilities(t *testing.T) {
	i := detect(t, tree(t, common, full, map[string]string{"proc/sys/kernel/cap_last_cap": "37"}))
	if slices.Contains(i.Capabilities, "CAP_BPF") || len(i.Capabilities) != 38 {
		t.Errorf("got %v", i.Capabilities)
	}
}

func TestUnusableHost(t *testing.T) {
	if _, err := Detect(t.Context(), tree(t, common, map[string]string{"proc/self/mountinfo": "20 1 0:1 / / rw - ext4 /dev/x rw\n"})); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("without cgroups: %v", err)
	}
	if _, err := Detect(t.Context(), tree(t, common)); err == nil {
		t.Error("without a mount table: no error")
	}
	if _, err := Detect(t.Context(), tree(t, common, full, map[string]string{"proc/self/status": "Name:\tx\n"})); err == nil {
		t.Error("without capabilities: no error")
	}
}
