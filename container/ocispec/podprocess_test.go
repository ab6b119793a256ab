package ocispec

import (
	"slices"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// podProcess builds the process of the pod of an input.
func podProcess(t *testing.T, foreign bool, change func(*Input)) *specs.Spec {
	t.Helper()
	in := input()
	in.FS.(*fakeFS).files["/libexec/berth-init"] = ""
	change(&in)
	out, err := PodProcess(in, "/libexec/berth-init", foreign)
	if err != nil {
		t.Fatal(err)
	}
	return out.Spec
}

// TestPodProcess keeps what process 1 of a pod has as little as it is.
func TestPodProcess(t *testing.T) {
	s := podProcess(t, false, func(*Input) {})
	var mounts []string
	for _, m := range s.Mounts {
		mounts = append(mounts, m.Destination)
		if !slices.Contains(m.Options, "ro") && m.Destination != "/proc" {
			t.Errorf("%s can be written: %v", m.Destination, m.Options)
		}
	}
	if want := []string{"/proc", "/dev", PodProcessPath}; !slices.Equal(mounts, want) {
		t.Errorf("mounts at %v, want %v", mounts, want)
	}
	if u := s.Process.User; u.UID != podProcessUID || u.GID != podProcessUID {
		t.Errorf("runs as %d:%d", u.UID, u.GID)
	}
	if c := s.Process.Capabilities; len(c.Bounding)+len(c.Permitted)+len(c.Effective)+len(c.Ambient)+len(c.Inheritable) > 0 {
		t.Errorf("has capabilities %v", c)
	}
	if !s.Process.NoNewPrivileges || !s.Root.Readonly || !slices.Contains(s.Linux.ReadonlyPaths, "/proc/sys") || !slices.Contains(s.Linux.MaskedPaths, "/proc/kcore") {
		t.Errorf("new privileges, a writable root or the host's /proc: %+v %+v", s.Process, s.Linux)
	}
	if f := s.Linux.Seccomp; f == nil || f.DefaultAction == specs.ActAllow || len(f.Architectures) > 0 {
		t.Errorf("its filter is %+v", f)
	}
}

// TestPodProcessUser picks an unprivileged user that the pod's user namespace has.
func TestPodProcessUser(t *testing.T) {
	for length, want := range map[uint32]uint32{65536: 65535, 1 << 20: 65535, 10: 9, 1: 0} {
		s := podProcess(t, false, func(in *Input) {
			userns(in)
			m := []*runtimeapi.IDMapping{{HostId: 200000, Length: length}}
			podSC(in).NamespaceOptions.UsernsOptions = &runtimeapi.UserNamespace{Uids: m, Gids: m}
		})
		if s.Process.User.UID != want || s.Process.User.GID != want {
			t.Errorf("of %d users: %d:%d, want %d", length, s.Process.User.UID, s.Process.User.GID, want)
		}
	}
}

// TestPodProcessOfForeignRuntime tells a VM runtime what its sandbox is, and how large.
func TestPodProcessOfForeignRuntime(t *testing.T) {
	s := podProcess(t, true, func(in *Input) {
		in.Sandbox.Config.LogDirectory = "/var/log/pods/a"
		in.Sandbox.Config.Linux.Resources = &runtimeapi.LinuxContainerResources{CpuPeriod: 100000, CpuQuota: 50000, CpuShares: 512, MemoryLimitInBytes: gib}
	})
	for key, want := range map[string]string{
		AnnotationContainerType: ContainerTypeSandbox, AnnotationSandboxID: input().Sandbox.ID, AnnotationSandboxLogDir: "/var/log/pods/a",
		AnnotationSandboxCPUPeriod: "100000", AnnotationSandboxCPUQuota: "50000", AnnotationSandboxCPUShares: "512", AnnotationSandboxMemory: "1073741824",
	} {
		if got := s.Annotations[key]; got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	if _, ok := s.Annotations[AnnotationContainerName]; ok {
		t.Error("the sandbox has the name of a container")
	}
}

// TestPodProcessHasNoClass: a pod may name a class for all of its containers. Its own process is none of them, and
// the node's classes are not known where it is made.
func TestPodProcessHasNoClass(t *testing.T) {
	s := podProcess(t, false, func(in *Input) {
		in.Sandbox.Config.Annotations = map[string]string{blockIOAnnotations.pod: "slow", rdtAnnotations.pod: "gold"}
	})
	if s.Linux.Resources.BlockIO != nil || s.Linux.IntelRdt != nil {
		t.Errorf("has classes: %+v, %+v", s.Linux.Resources.BlockIO, s.Linux.IntelRdt)
	}
}
