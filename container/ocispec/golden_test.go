package ocispec

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/container/users"
	"github.com/berth-run/berth/internal/hostinfo"
)

// TestGolden builds specs of representative containers and compares them as a
// whole, so that nothing comes or goes unseen.
func TestGolden(t *testing.T) {
	for name, change := range map[string]func(*Input){
		"plain-v2": func(*Input) {},
		"plain-hybrid": func(in *Input) {
			in.Host = weak(hostinfo.CgroupHybrid)
		},
		"kubelet":     kubelet,
		"privileged":  privileged,
		"host-all":    hostAll,
		"userns":      userns,
		"image-rich":  imageRich,
		"base-spec":   baseSpec,
		"devices-cdi": devicesAndCDI,
	} {
		t.Run(name, func(t *testing.T) {
			in := input()
			change(&in)
			before := in
			before.Config, before.Sandbox.Config = cloneMessages(in)
			out := build(t, in)
			if again := build(t, in); !reflect.DeepEqual(out, again) {
				t.Error("a second Build differs")
			}
			if c, p := in.Config.String(), in.Sandbox.Config.String(); c != before.Config.String() || p != before.Sandbox.Config.String() {
				t.Error("Build changed its input")
			}
			// The default filter depends on the machine the test runs on.
			if s := out.Spec.Linux.Seccomp; s != nil {
				s.Syscalls, s.Architectures = nil, nil
			}
			golden(t, name, out)
		})
	}
}

func cloneMessages(in Input) (*runtimeapi.ContainerConfig, *runtimeapi.PodSandboxConfig) {
	c, p := &runtimeapi.ContainerConfig{}, &runtimeapi.PodSandboxConfig{}
	copyMessage(c, in.Config)
	copyMessage(p, in.Sandbox.Config)
	return c, p
}

// kubelet is what the kubelet sends for a hardened container.
func kubelet(in *Input) {
	in.User = users.Resolved{UID: 1000, GID: 3000, AdditionalGIDs: []uint32{3000, 2000}}
	in.Config.Args = []string{"--port=80"}
	in.Config.Envs = []*runtimeapi.KeyValue{{Key: "MODE", Value: []byte("request")}, {Key: "EXTRA", Value: []byte("a=b")}}
	in.Config.StopSignal = runtimeapi.Signal_SIGNAL_SIGRTMINPLUS3
	in.Config.Linux.Resources = &runtimeapi.LinuxContainerResources{
		CpuPeriod: 100000, CpuQuota: 50000, CpuShares: 512, MemoryLimitInBytes: gib, OomScoreAdj: 900,
		HugepageLimits: []*runtimeapi.HugepageLimit{{PageSize: "2MB"}}, Unified: map[string]string{"memory.oom.group": "1"},
	}
	in.Config.Mounts = []*runtimeapi.Mount{
		{ContainerPath: "/etc/hosts", HostPath: "/vol"},
		{ContainerPath: "/data/deep", HostPath: "/vol/deep", Propagation: runtimeapi.MountPropagation_PROPAGATION_HOST_TO_CONTAINER},
		{ContainerPath: "/data", HostPath: "/link", Readonly: true},
		{ContainerPath: "/cache", HostPath: "/vol", MountOptions: []string{"noexec", "nosuid"}},
		{ContainerPath: "/rro", HostPath: "/vol", Readonly: true, RecursiveReadOnly: true},
	}
	in.FS.(*fakeFS).mounts["/vol"] = in.FS.(*fakeFS).mounts["/slave"]
	*sc(in) = runtimeapi.LinuxContainerSecurityContext{
		RunAsUser: &runtimeapi.Int64Value{Value: 1000}, RunAsGroup: &runtimeapi.Int64Value{Value: 3000},
		SupplementalGroups: []int64{2000}, NoNewPrivs: true, ReadonlyRootfs: true,
		Capabilities: &runtimeapi.Capability{DropCapabilities: []string{"ALL"}, AddCapabilities: []string{"NET_BIND_SERVICE"}},
		MaskedPaths:  []string{"/proc/kcore"}, ReadonlyPaths: []string{"/proc/sys"},
		Seccomp:          &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_RuntimeDefault},
		NamespaceOptions: &runtimeapi.NamespaceOption{Pid: runtimeapi.NamespaceMode_CONTAINER},
	}
}

func privileged(in *Input) {
	podSC(in).Privileged = true
	*sc(in) = runtimeapi.LinuxContainerSecurityContext{
		Privileged:  true,
		MaskedPaths: []string{"/proc/kcore"},
		Seccomp:     &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_Localhost, LocalhostRef: "/no/such"},
	}
	in.Config.Mounts = []*runtimeapi.Mount{{ContainerPath: "/mnt", HostPath: "/shared", Propagation: runtimeapi.MountPropagation_PROPAGATION_BIDIRECTIONAL}}
}

// hostAll shares every namespace of the node and has no hostname of its own.
func hostAll(in *Input) {
	in.Sandbox.Namespaces = Namespaces{}
	in.Sandbox.ShmPath = ""
	in.Sandbox.Config.Hostname = ""
	n := &runtimeapi.NamespaceOption{Network: runtimeapi.NamespaceMode_NODE, Ipc: runtimeapi.NamespaceMode_NODE, Pid: runtimeapi.NamespaceMode_NODE}
	podSC(in).NamespaceOptions, sc(in).NamespaceOptions = n, n
}

func userns(in *Input) {
	ids := []*runtimeapi.IDMapping{{HostId: 131072, Length: 65536}}
	o := &runtimeapi.NamespaceOption{UsernsOptions: &runtimeapi.UserNamespace{Uids: ids, Gids: ids}}
	podSC(in).NamespaceOptions, sc(in).NamespaceOptions = o, o
	in.Sandbox.Namespaces.User = "/run/berth/pods/a/ns/user"
	in.Sandbox.Namespaces.PID = "/proc/77/ns/pid"
	in.Host = weak(hostinfo.CgroupV2)
	in.Host.IDMapSyscall = true
	// Inside of a user namespace there is more than this process has.
	sc(in).Capabilities = &runtimeapi.Capability{AddCapabilities: []string{"SYS_RESOURCE"}}
	in.Config.Mounts = []*runtimeapi.Mount{{ContainerPath: "/data", HostPath: "/vol", UidMappings: ids, GidMappings: ids}}
	in.Config.Devices = []*runtimeapi.Device{{HostPath: "/dev/kvm", ContainerPath: "/dev/kvm2", Permissions: "rw"}, {HostPath: "/dev/kvm", ContainerPath: "/dev/kvm"}}
	in.Image.Config.Volumes = map[string]struct{}{"/state": {}}
}

// imageRich has an image with volumes and a stop signal, and image mounts, on a terminal.
func imageRich(in *Input) {
	in.Config.Tty = true
	in.Image.Config.StopSignal = "SIGQUIT"
	in.Image.Config.WorkingDir = "srv"
	in.Image.Config.Volumes = map[string]struct{}{"/data": {}, "/var/lib/x/": {}, "/covered": {}, "/": {}}
	in.Config.Mounts = []*runtimeapi.Mount{
		{ContainerPath: "/covered/", HostPath: "/vol"},
		{ContainerPath: "/model", Image: &runtimeapi.ImageSpec{Image: "sha256:1"}},
	}
	in.ImageMounts = map[int]string{1: "/run/berth/image"}
	in.Config.Command = []string{"/bin/sh", "-c"}
}

func baseSpec(in *Input) {
	in.Runtime.BaseSpec = &specs.Spec{
		Version: "1.0.0",
		Process: &specs.Process{
			Env: []string{"BASE=1", "MODE=base"}, Rlimits: []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 10, Hard: 20}, {Type: "RLIMIT_CORE", Soft: 1, Hard: 2}},
			Capabilities: &specs.LinuxCapabilities{Bounding: []string{"CAP_KILL"}},
		},
		Hooks:       &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/hook"}}},
		Annotations: map[string]string{"base": "yes"},
		Linux:       &specs.Linux{MaskedPaths: []string{"/base"}, Seccomp: &specs.LinuxSeccomp{DefaultAction: specs.ActAllow}},
	}
	in.Runtime.PodAnnotations = []string{"vm.example.com/*"}
	in.Runtime.ContainerAnnotations = []string{"run.example.com/?"}
	in.Sandbox.Config.Annotations = map[string]string{"vm.example.com/a/b": "1", "other": "2"}
	in.Config.Annotations = map[string]string{"run.example.com/x": "3", "run.example.com/xy": "4", "vm.example.com/no": "5"}
	in.Defaults.Ulimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 100, Hard: 200}}
}

func devicesAndCDI(in *Input) {
	in.Config.Devices = []*runtimeapi.Device{{HostPath: "/dev/kvm", ContainerPath: "/dev/kvm", Permissions: "rw"}, {HostPath: "/dev/snd", ContainerPath: "/dev/sound"}}
	in.Config.CDIDevices = []*runtimeapi.CDIDevice{{Name: "vendor.com/gpu=0"}}
	in.Config.Annotations = map[string]string{"cdi.k8s.io/x": "vendor.com/gpu=0,vendor.com/gpu=1", "io.kubernetes.cri.rdt-class": "gold"}
	in.Sandbox.Config.Annotations = map[string]string{"blockio.resources.beta.kubernetes.io/pod": "slow"}
	in.CDI = fakeCDI{}
	weight := uint16(10)
	in.Defaults.BlockIO = func(string) (*specs.LinuxBlockIO, error) { return &specs.LinuxBlockIO{Weight: &weight}, nil }
	in.Defaults.DeviceOwnershipFromSecurityContext = true
	in.Defaults.PidsLimit = 100
	in.Defaults.EnableRDT = true
	sc(in).RunAsUser = &runtimeapi.Int64Value{Value: 5}
}

// fakeCDI knows vendor.com/gpu 0 and 1.
type fakeCDI struct{}

func (fakeCDI) InjectDevices(s *specs.Spec, devices ...string) ([]string, error) {
	var unknown []string
	for _, d := range devices {
		if d != "vendor.com/gpu=0" && d != "vendor.com/gpu=1" {
			unknown = append(unknown, d)
		}
		s.Process.Env = append(s.Process.Env, "CDI="+d)
	}
	if unknown != nil {
		return unknown, os.ErrNotExist
	}
	return nil, nil
}

// TestImageSubPath keeps sub paths of image mounts inside of the image.
func TestImageSubPath(t *testing.T) {
	root := filepath.Join(t.TempDir(), "image")
	outside := filepath.Join(filepath.Dir(root), "outside")
	for _, d := range []string{filepath.Join(root, "models/a"), outside} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{"escape": "../outside", "current": "/models/a"} {
		if err := os.Symlink(target, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	for sub, want := range map[string]string{"models/a": "models/a", "current": "models/a", "escape": "", "nosuch": ""} {
		in := input()
		in.Config.Mounts = []*runtimeapi.Mount{{ContainerPath: "/m", Image: &runtimeapi.ImageSpec{Image: "i"}, ImageSubPath: sub}}
		in.ImageMounts = map[int]string{0: root}
		out, err := Build(in)
		if want == "" {
			if err == nil {
				t.Errorf("%s: no error", sub)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", sub, err)
			continue
		}
		m := out.Spec.Mounts[len(out.Spec.Mounts)-1]
		for _, c := range out.Spec.Mounts {
			if c.Destination == "/m" {
				m = c
			}
		}
		if m.Source != filepath.Join(root, want) || m.Options[2] != "ro" {
			t.Errorf("%s: got %+v", sub, m)
		}
	}
}

func copyMessage(dst, src proto.Message) { proto.Merge(dst, src) }
