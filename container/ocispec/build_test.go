package ocispec

import (
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/sys/signal"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/internal/hostinfo"
)

// TestArgs is the table of Kubernetes' documentation on command and args.
func TestArgs(t *testing.T) {
	for _, c := range []struct {
		name                           string
		entrypoint, cmd, command, args []string
		want                           string
	}{
		{name: "image alone", entrypoint: []string{"/e"}, cmd: []string{"c"}, want: "/e c"},
		{name: "command voids the image's command", entrypoint: []string{"/e"}, cmd: []string{"c"}, command: []string{"/x"}, want: "/x"},
		{name: "args replace the image's command", entrypoint: []string{"/e"}, cmd: []string{"c"}, args: []string{"a"}, want: "/e a"},
		{name: "both", entrypoint: []string{"/e"}, cmd: []string{"c"}, command: []string{"/x"}, args: []string{"a"}, want: "/x a"},
		{name: "image without entrypoint", cmd: []string{"/c", "d"}, want: "/c d"},
		{name: "args to an image without entrypoint", cmd: []string{"/c"}, args: []string{"/a"}, want: "/a"},
		{name: "nothing"},
	} {
		in := input()
		in.Image.Config.Entrypoint, in.Image.Config.Cmd = c.entrypoint, c.cmd
		in.Config.Command, in.Config.Args = c.command, c.args
		out, err := Build(in)
		if c.want == "" {
			if !errdefs.IsInvalidArgument(err) {
				t.Errorf("%s: got %v", c.name, err)
			}
			continue
		}
		if err != nil || strings.Join(out.Spec.Process.Args, " ") != c.want {
			t.Errorf("%s: got %v, %v; want %s", c.name, out.Spec.Process.Args, err, c.want)
		}
	}
}

func TestCapabilities(t *testing.T) {
	def := DefaultCapabilities()
	without := func(drop ...string) []string {
		return slices.DeleteFunc(slices.Clone(def), func(c string) bool { return slices.Contains(drop, c) })
	}
	all := host(hostinfo.CgroupV2).Capabilities
	for _, c := range []struct {
		name               string
		add, drop, ambient []string
		want               []string
		host               *hostinfo.Info
		check              func(error) bool
	}{
		{name: "defaults", want: def},
		{name: "add", add: []string{"NET_ADMIN", "cap_net_admin", "KILL"}, want: append(def[:len(def):len(def)], "CAP_NET_ADMIN")},
		{name: "drop", drop: []string{"KILL", "net_raw"}, want: without("CAP_KILL", "CAP_NET_RAW")},
		{name: "drop has the last word", add: []string{"NET_ADMIN"}, drop: []string{"NET_ADMIN"}, want: def},
		{name: "add ALL", add: []string{"ALL"}, want: all},
		{name: "add all but one", add: []string{"all"}, drop: []string{"SYS_ADMIN"}, want: slices.DeleteFunc(slices.Clone(all), func(s string) bool { return s == "CAP_SYS_ADMIN" })},
		{name: "drop ALL"},
		{name: "drop ALL, add one", add: []string{"CHOWN"}, drop: []string{"ALL"}, want: []string{"CAP_CHOWN"}},
		{name: "ALL of what the daemon has", add: []string{"ALL"}, host: weak(hostinfo.CgroupV2), want: all[:len(all)-1]},
		{name: "ambient", drop: []string{"ALL"}, ambient: []string{"NET_BIND_SERVICE"}, want: []string{"CAP_NET_BIND_SERVICE"}},
		{name: "unknown", add: []string{"FLY"}, want: def},
		{name: "unknown dropped", drop: []string{"FLY"}, want: def},
		{name: "not in this kernel", add: []string{"BPF"}, want: def},
		{name: "not ours to give", add: []string{"SYS_RESOURCE"}, host: weak(hostinfo.CgroupV2), check: errdefs.IsFailedPrecondition},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := input()
			if c.host != nil {
				in.Host = c.host
			}
			if c.name == "drop ALL" {
				c.drop = []string{"ALL"}
			}
			sc(&in).Capabilities = &runtimeapi.Capability{AddCapabilities: c.add, DropCapabilities: c.drop, AddAmbientCapabilities: c.ambient}
			out, err := Build(in)
			if c.check != nil {
				if !c.check(err) {
					t.Fatalf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := out.Spec.Process.Capabilities
			for _, set := range [][]string{got.Bounding, got.Effective, got.Permitted} {
				if !slices.Equal(set, c.want) {
					t.Errorf("got %v, want %v", set, c.want)
				}
			}
			if len(got.Ambient) != len(c.ambient) || !slices.Equal(got.Ambient, got.Inheritable) {
				t.Errorf("ambient %v, inheritable %v", got.Ambient, got.Inheritable)
			}
		})
	}
}

// TestLowered are requests that are fulfilled in part, and say so.
func TestLowered(t *testing.T) {
	in := input()
	in.Host = weak(hostinfo.CgroupV2)
	in.Config.Linux.Resources = &runtimeapi.LinuxContainerResources{OomScoreAdj: -998, MemoryLimitInBytes: gib, MemorySwapLimitInBytes: 2 * gib,
		HugepageLimits: []*runtimeapi.HugepageLimit{{PageSize: "2MB", Limit: 1 << 21}}}
	in.Config.Mounts = []*runtimeapi.Mount{{ContainerPath: "/x", HostPath: "/vol"}, {ContainerPath: "/x/", HostPath: "/real"}}
	in.Config.Envs = []*runtimeapi.KeyValue{{Key: "RAW", Value: []byte{0xff}}}
	in.Image.Config.StopSignal = "SIGNOPE"
	in.Defaults.Seccomp = SeccompRuntimeDefault
	in.Defaults.Ulimits = []specs.POSIXRlimit{
		{Type: "RLIMIT_NOFILE", Soft: 5000, Hard: math.MaxUint64}, {Type: "RLIMIT_CORE", Soft: math.MaxUint64, Hard: math.MaxUint64},
	}
	out := build(t, in)
	for _, w := range []string{"oom_score_adj is -500 instead of -998", "RLIMIT_NOFILE is 4096 instead of unlimited", "swap", "Hugepage", "Several mounts at /x", "RAW", "SIGNOPE", "seccomp"} {
		if !slices.ContainsFunc(out.Warnings, func(s string) bool { return strings.Contains(s, w) }) {
			t.Errorf("no warning with %q in %q", w, out.Warnings)
		}
	}
	if len(out.Warnings) != 8 {
		t.Errorf("%d warnings: %q", len(out.Warnings), out.Warnings)
	}
	p := out.Spec.Process
	if *p.OOMScoreAdj != -500 || p.Rlimits[0].Hard != 4096 || p.Rlimits[0].Soft != 4096 || p.Rlimits[1].Hard != math.MaxUint64 || out.StopSignal != "SIGTERM" {
		t.Errorf("%+v, stop signal %s", p, out.StopSignal)
	}
	m := slices.DeleteFunc(slices.Clone(out.Spec.Mounts), func(m specs.Mount) bool { return m.Destination != "/x" })
	if len(m) != 1 || m[0].Source != "/real" {
		t.Errorf("got %v, want the last mount alone", m)
	}
	if r := out.Spec.Linux.Resources; r.Memory.Swap != nil || len(r.HugepageLimits) != 0 || out.Spec.Linux.Seccomp != nil {
		t.Errorf("%+v", r)
	}
}

// TestMountsOverKernelFilesystems: who mounts over a filesystem of the kernel
// gets exactly that, and nothing of Berth's below it.
func TestMountsOverKernelFilesystems(t *testing.T) {
	in := input()
	in.Config.Mounts = []*runtimeapi.Mount{{ContainerPath: "/dev/", HostPath: "/vol"}, {ContainerPath: "/sys", HostPath: "/vol"}, {ContainerPath: "/devices", HostPath: "/vol"}}
	in.Sandbox.ShmPath = ""
	var got []string
	for _, m := range build(t, in).Spec.Mounts {
		got = append(got, m.Destination)
	}
	want := []string{"/proc", "/dev", "/sys", "/devices", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestAppArmor(t *testing.T) {
	profile := func(change func(*Input)) (string, string) {
		in := input()
		in.Host.AppArmor, in.Host.AppArmorParser = true, true
		in.FS.(*fakeFS).files[loadedProfiles] = "other (enforce)\nmine (complain)\n"
		change(&in)
		out := build(t, in)
		return out.Spec.Process.ApparmorProfile, out.LoadAppArmor
	}
	for name, c := range map[string]struct {
		change        func(*Input)
		profile, load string
	}{
		"unset is the default":  {func(*Input) {}, DefaultAppArmorProfile, DefaultAppArmorProfile},
		"runtime default":       {func(in *Input) { sc(in).Apparmor = &runtimeapi.SecurityProfile{} }, DefaultAppArmorProfile, DefaultAppArmorProfile},
		"unconfined":            {func(in *Input) { sc(in).ApparmorProfile = "unconfined" }, "", ""},
		"local":                 {func(in *Input) { sc(in).ApparmorProfile = "localhost/mine" }, "mine", ""},
		"privileged":            {func(in *Input) { podSC(in).Privileged, sc(in).Privileged = true, true }, "", ""},
		"switched off":          {func(in *Input) { in.Defaults.DisableAppArmor = true }, "", ""},
		"no parser, none asked": {func(in *Input) { in.Host.AppArmorParser = false }, "", ""},
	} {
		if p, l := profile(c.change); p != c.profile || l != c.load {
			t.Errorf("%s: got %q, load %q", name, p, l)
		}
	}
}

func TestSeccompSources(t *testing.T) {
	const local = `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["chmod"],"action":"SCMP_ACT_ERRNO"}]}`
	for name, c := range map[string]struct {
		change func(*Input)
		want   specs.LinuxSeccompAction
	}{
		"unset":               {func(*Input) {}, ""},
		"unset, node default": {func(in *Input) { in.Defaults.Seccomp = SeccompRuntimeDefault }, specs.ActErrno},
		"unconfined":          {func(in *Input) { sc(in).SeccompProfilePath, in.Defaults.Seccomp = "unconfined", SeccompRuntimeDefault }, ""},
		"typed before the old": {func(in *Input) {
			sc(in).SeccompProfilePath, sc(in).Seccomp = "unconfined", &runtimeapi.SecurityProfile{}
		}, specs.ActErrno},
		"local": {func(in *Input) { sc(in).SeccompProfilePath = "localhost//ok.json" }, specs.ActAllow},
	} {
		in := input()
		in.FS.(*fakeFS).files["/ok.json"] = local
		c.change(&in)
		got := build(t, in).Spec.Linux.Seccomp
		if (got == nil) != (c.want == "") || (got != nil && got.DefaultAction != c.want) {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

// TestDefaultSeccompKnowsTheKernelsABIs: rules for an ABI that does not exist only cost time.
func TestDefaultSeccompKnowsTheKernelsABIs(t *testing.T) {
	for _, without := range []bool{false, true} {
		in := input()
		in.Host.NoX32 = without
		in.Defaults.Seccomp = SeccompRuntimeDefault
		got := build(t, in).Spec.Linux.Seccomp.Architectures
		if runtime.GOARCH == "amd64" && (slices.Contains(got, specs.ArchX32) == without || !slices.Contains(got, specs.ArchX86)) {
			t.Errorf("without x32 %t: %v", without, got)
		}
	}
}

// TestDefaultSeccompFollowsCapabilities: the filter opens what a capability needs.
func TestDefaultSeccompFollowsCapabilities(t *testing.T) {
	allows := func(caps ...string) bool {
		in := input()
		sc(&in).Seccomp = &runtimeapi.SecurityProfile{}
		sc(&in).Capabilities = &runtimeapi.Capability{AddCapabilities: caps}
		return slices.ContainsFunc(build(t, in).Spec.Linux.Seccomp.Syscalls, func(s specs.LinuxSyscall) bool {
			return s.Action == specs.ActAllow && slices.Contains(s.Names, "mount")
		})
	}
	if allows() || !allows("SYS_ADMIN") {
		t.Errorf("mount is allowed: %v without SYS_ADMIN, %v with it", allows(), allows("SYS_ADMIN"))
	}
}

func TestPIDNamespace(t *testing.T) {
	const shared = "/proc/42/ns/pid"
	o := func(m runtimeapi.NamespaceMode) *runtimeapi.NamespaceOption {
		return &runtimeapi.NamespaceOption{Pid: m, TargetId: "t"}
	}
	for name, c := range map[string]struct {
		pod, own *runtimeapi.NamespaceOption
		want     string
	}{
		"own":                          {o(runtimeapi.NamespaceMode_POD), o(runtimeapi.NamespaceMode_CONTAINER), "new"},
		"pod's":                        {o(runtimeapi.NamespaceMode_POD), o(runtimeapi.NamespaceMode_POD), shared},
		"unset follows the pod":        {o(runtimeapi.NamespaceMode_POD), nil, shared},
		"unset follows the pod's own":  {o(runtimeapi.NamespaceMode_CONTAINER), nil, "new"},
		"node's":                       {o(runtimeapi.NamespaceMode_NODE), o(runtimeapi.NamespaceMode_NODE), "host"},
		"pod's, which is the node's":   {o(runtimeapi.NamespaceMode_NODE), o(runtimeapi.NamespaceMode_POD), "host"},
		"another container's":          {o(runtimeapi.NamespaceMode_CONTAINER), o(runtimeapi.NamespaceMode_TARGET), "/proc/7/ns/pid"},
		"own in a pod of the node's":   {o(runtimeapi.NamespaceMode_NODE), o(runtimeapi.NamespaceMode_CONTAINER), "new"},
		"no options at all (crictl's)": {nil, nil, shared},
	} {
		in := input()
		in.Sandbox.Namespaces.PID, in.TargetPID = shared, 7
		podSC(&in).NamespaceOptions, sc(&in).NamespaceOptions = c.pod, c.own
		got := "host"
		for _, n := range build(t, in).Spec.Linux.Namespaces {
			if n.Type == specs.PIDNamespace {
				got = n.Path
				if got == "" {
					got = "new"
				}
			}
		}
		if got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}

// TestSignalNames: every signal of the CRI has a name that can be sent.
func TestSignalNames(t *testing.T) {
	for n := range runtimeapi.Signal_name {
		name := SignalName(runtimeapi.Signal(n))
		if _, err := signal.ParseSignal(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestExecProcess(t *testing.T) {
	in := input()
	in.Config.Tty = true
	s := build(t, in).Spec
	p := ExecProcess(s, []string{"id"}, false)
	if p.Terminal || len(p.Args) != 1 || !slices.Equal(p.Env, s.Process.Env) || !slices.Equal(p.Capabilities.Bounding, s.Process.Capabilities.Bounding) {
		t.Errorf("got %+v", p)
	}
	p.Env[0] = "changed"
	if s.Process.Env[0] == "changed" || s.Process.Args[0] == "id" {
		t.Error("the container's own process was changed")
	}
}

func TestPrivilegedDevices(t *testing.T) {
	for _, without := range []bool{false, true} {
		for _, open := range []bool{false, true} {
			in := input()
			privileged(&in)
			in.Runtime.PrivilegedWithoutHostDevices, in.Runtime.PrivilegedWithoutHostDevicesAllDevicesAllowed = without, open
			l := build(t, in).Spec.Linux
			if hasDevices := len(l.Devices) > 0; hasDevices == without {
				t.Errorf("without %v: devices %v", without, l.Devices)
			}
			if allowed := l.Resources.Devices[0].Allow; allowed != (!without || open) {
				t.Errorf("without %v, open %v: rules %v", without, open, l.Resources.Devices)
			}
		}
	}
}
