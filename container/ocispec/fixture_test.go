package ocispec

import (
	"encoding/json"
	"io/fs"
	"math"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/moby/sys/mountinfo"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/container/users"
	"github.com/berth-run/berth/internal/hostinfo"
)

const gib = 1 << 30

// fakeFS is a host of a few paths.
type fakeFS struct {
	// files maps a path to its content; links to their targets.
	files, links map[string]string
	mounts       map[string]*mountinfo.Info
	devices      map[string]specs.LinuxDevice
}

func (f *fakeFS) Resolve(p string) (string, error) {
	if to, ok := f.links[p]; ok {
		p = to
	}
	if _, err := f.Stat(p); err != nil {
		return "", err
	}
	return p, nil
}

func (f *fakeFS) Stat(p string) (os.FileInfo, error) {
	if _, ok := f.files[p]; ok {
		return nil, nil
	}
	if _, ok := f.devices[p]; ok {
		return nil, nil
	}
	return os.Stat(p) // for sub paths of images, in temporary directories
}

func (f *fakeFS) Lstat(p string) (os.FileInfo, error) {
	if _, ok := f.links[p]; ok {
		return nil, nil
	}
	return f.Stat(p)
}

func (f *fakeFS) ReadFile(p string) ([]byte, error) {
	if s, ok := f.files[p]; ok {
		return []byte(s), nil
	}
	return nil, fs.ErrNotExist
}

func (f *fakeFS) Mount(p string) (*mountinfo.Info, error) {
	for ; ; p = path.Dir(p) {
		if m, ok := f.mounts[p]; ok {
			return m, nil
		}
		if p == "/" {
			return &mountinfo.Info{Mountpoint: "/"}, nil
		}
	}
}

func (f *fakeFS) Devices(host, container string) ([]specs.LinuxDevice, error) {
	if d, ok := f.devices[host]; ok {
		d.Path = container
		return []specs.LinuxDevice{d}, nil
	}
	var out []specs.LinuxDevice
	for p, d := range f.devices {
		if rest, ok := strings.CutPrefix(p, host+"/"); ok {
			d.Path = path.Join(container, rest)
			out = append(out, d)
		}
	}
	if out == nil {
		return nil, oci.ErrNotADevice
	}
	return out, nil
}

func (f *fakeFS) HostDevices() ([]specs.LinuxDevice, error) {
	return []specs.LinuxDevice{device("/dev/kvm", 10, 232), device("/dev/fuse", 10, 229)}, nil
}

func (f *fakeFS) Hostname() (string, error) { return "node1", nil }

func device(p string, major, minor int64) specs.LinuxDevice {
	mode, id := os.FileMode(0o660), uint32(0)
	return specs.LinuxDevice{Path: p, Type: "c", Major: major, Minor: minor, FileMode: &mode, UID: &id, GID: &id}
}

// host is a host with everything, of the given cgroup mode.
func host(mode hostinfo.CgroupMode) *hostinfo.Info {
	h := &hostinfo.Info{
		Kernel:            hostinfo.KernelVersion{Major: 6, Minor: 12, Release: "6.12.0"},
		Cgroup:            hostinfo.Cgroup{Mode: mode, Root: "/sys/fs/cgroup", Controllers: map[string]string{}},
		Swap:              true,
		Seccomp:           true,
		UserNamespaces:    true,
		RecursiveReadOnly: true,
		IDMapSyscall:      true,
		Resctrl:           true,
		Rlimits:           map[string]hostinfo.Rlimit{"RLIMIT_NOFILE": {Soft: 1024, Hard: 4096}, "RLIMIT_CORE": {Soft: 0, Hard: math.MaxUint64}},
		Capabilities:      append(DefaultCapabilities(), "CAP_NET_ADMIN", "CAP_SYS_ADMIN", "CAP_SYS_RESOURCE"),
	}
	h.OwnCapabilities = h.Capabilities
	for _, c := range []string{"cpu", "cpuset", "memory", "pids", "hugetlb"} {
		h.Cgroup.Controllers[c] = "/sys/fs/cgroup"
	}
	return h
}

// weak is host without CAP_SYS_RESOURCE, hugetlb and swap accounting.
func weak(mode hostinfo.CgroupMode) *hostinfo.Info {
	h := host(mode)
	h.OwnCapabilities = h.Capabilities[:len(h.Capabilities)-1]
	h.OOMScoreAdj = -500
	h.Swap, h.Resctrl, h.Seccomp, h.IDMapSyscall, h.RecursiveReadOnly = false, false, false, false, false
	delete(h.Cgroup.Controllers, "hugetlb")
	return h
}

func features() hostinfo.RuntimeFeatures {
	return hostinfo.RuntimeFeatures{Known: true, RecursiveReadOnly: true, UserNamespaces: true, Seccomp: true,
		MountOptions: []string{"ro", "rw", "rro", "noexec", "nodev", "nosuid"}}
}

// input is an ordinary pod's ordinary container; cases change it.
func input() Input {
	return Input{
		ContainerID:  strings.Repeat("c", 64),
		ContainerDir: "/var/lib/berth/containers/c",
		CgroupsPath:  "/kubepods/pod1/c",
		Host:         host(hostinfo.CgroupV2),
		Runtime:      Runtime{Features: features()},
		User:         users.Resolved{AdditionalGIDs: []uint32{0}},
		Image: Image{Name: "registry.k8s.io/app:1", Config: ocispec.ImageConfig{
			Entrypoint: []string{"/entry"}, Cmd: []string{"serve"}, Env: []string{"PATH=/app:/bin", "MODE=image"}, WorkingDir: "/app",
		}},
		Sandbox: Sandbox{
			ID: strings.Repeat("a", 64),
			Config: &runtimeapi.PodSandboxConfig{
				Metadata: &runtimeapi.PodSandboxMetadata{Name: "web", Namespace: "default", Uid: "uid-1"},
				Hostname: "web",
				Linux: &runtimeapi.LinuxPodSandboxConfig{SecurityContext: &runtimeapi.LinuxSandboxSecurityContext{
					NamespaceOptions: &runtimeapi.NamespaceOption{Pid: runtimeapi.NamespaceMode_CONTAINER},
				}},
			},
			Namespaces: Namespaces{Net: "/run/berth/pods/a/ns/net", IPC: "/run/berth/pods/a/ns/ipc", UTS: "/run/berth/pods/a/ns/uts"},
			ShmPath:    "/run/berth/pods/a/shm", HostsPath: "/run/berth/pods/a/hosts",
			ResolvConfPath: "/run/berth/pods/a/resolv.conf", HostnamePath: "/run/berth/pods/a/hostname",
		},
		Config: &runtimeapi.ContainerConfig{
			Metadata: &runtimeapi.ContainerMetadata{Name: "app"},
			Image:    &runtimeapi.ImageSpec{Image: "registry.k8s.io/app:1"},
			Linux:    &runtimeapi.LinuxContainerConfig{SecurityContext: &runtimeapi.LinuxContainerSecurityContext{}},
		},
		FS: &fakeFS{
			files: map[string]string{"/dev/snd": "", "/vol": "", "/vol/deep": "", "/shared": "", "/slave": "", "/real": ""},
			links: map[string]string{"/link": "/real"},
			mounts: map[string]*mountinfo.Info{
				"/shared":        {Mountpoint: "/shared", Optional: "shared:7"},
				"/slave":         {Mountpoint: "/slave", Optional: "master:7"},
				"/sys/fs/cgroup": {Mountpoint: "/sys/fs/cgroup", VFSOptions: "rw,nsdelegate,memory_recursiveprot"},
			},
			devices: map[string]specs.LinuxDevice{"/dev/kvm": device("/dev/kvm", 10, 232), "/dev/snd/a": device("/dev/snd/a", 116, 1)},
		},
	}
}

// sc is the container's security context.
func sc(in *Input) *runtimeapi.LinuxContainerSecurityContext { return in.Config.Linux.SecurityContext }

// podSC is the pod's security context.
func podSC(in *Input) *runtimeapi.LinuxSandboxSecurityContext {
	return in.Sandbox.Config.Linux.SecurityContext
}

// build validates and builds, as CreateContainer does.
func build(t *testing.T, in Input) *Output {
	t.Helper()
	if err := Validate(in.Config, in.Sandbox.Config); err != nil {
		t.Fatalf("Validate: %v", err)
	}
	out, err := Build(in)
	if err != nil {
		t.Fatalf("Build: %v", err)
	}
	return out
}

// golden compares with a file; UPDATE_GOLDEN=1 writes it.
func golden(t *testing.T, name string, v any) {
	t.Helper()
	got, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	file := filepath.Join("testdata", name+".json")
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; run with UPDATE_GOLDEN=1 and look at what it writes", err)
	}
	if string(got) != string(want) {
		t.Errorf("differs from %s:\n%s", file, diff(string(want), string(got)))
	}
}

// diff shows the lines that only one of two texts has.
func diff(want, got string) string {
	has := func(text string) map[string]int {
		m := map[string]int{}
		for l := range strings.Lines(text) {
			m[l]++
		}
		return m
	}
	w, g := has(want), has(got)
	var b strings.Builder
	for l := range strings.Lines(want) {
		if g[l] == 0 {
			b.WriteString("- " + l)
		}
	}
	for l := range strings.Lines(got) {
		if w[l] == 0 {
			b.WriteString("+ " + l)
		}
	}
	return b.String()
}
