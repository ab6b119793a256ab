package ocispec

import (
	"testing"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/internal/hostinfo"
)

const (
	podLabel   = "system_u:system_r:container_t:s0:c1,c2"
	mountLabel = "system_u:object_r:container_file_t:s0:c1,c2"
)

// TestPodLabels: a container has its pod's labels, a privileged one runs
// unconfined but shares the files.
func TestPodLabels(t *testing.T) {
	in := input()
	in.Sandbox.ProcessLabel, in.Sandbox.MountLabel = podLabel, mountLabel
	in.Config.Mounts = []*runtimeapi.Mount{{ContainerPath: "/x", HostPath: "/vol", SelinuxRelabel: true}, {ContainerPath: "/y", HostPath: "/real"}}
	out := build(t, in)
	if out.Spec.Process.SelinuxLabel != podLabel || out.Spec.Linux.MountLabel != mountLabel || out.MountLabel != mountLabel {
		t.Errorf("got %q, %q", out.Spec.Process.SelinuxLabel, out.Spec.Linux.MountLabel)
	}
	want := map[string]bool{"/vol": true, in.Sandbox.HostsPath: true, in.Sandbox.HostnamePath: true, in.Sandbox.ResolvConfPath: true, in.Sandbox.ShmPath: true}
	for _, p := range out.Relabel {
		if !want[p] {
			t.Errorf("%s is relabelled", p)
		}
		delete(want, p)
	}
	if len(want) > 0 {
		t.Errorf("not relabelled: %v", want)
	}

	podSC(&in).Privileged, sc(&in).Privileged = true, true
	out = build(t, in)
	if out.Spec.Process.SelinuxLabel != "" || out.Spec.Linux.MountLabel != mountLabel {
		t.Errorf("privileged: got %q, %q", out.Spec.Process.SelinuxLabel, out.Spec.Linux.MountLabel)
	}
}

// TestLevelOfPod: options without a level take the pod's, so that the
// containers of a pod can read each other's volumes.
func TestLevelOfPod(t *testing.T) {
	for _, c := range []struct {
		opts *runtimeapi.SELinuxOption
		pod  string
		want string
	}{
		{&runtimeapi.SELinuxOption{Type: "t"}, podLabel, "s0:c1,c2"},
		{&runtimeapi.SELinuxOption{Type: "t", Level: "s0:c9"}, podLabel, "s0:c9"},
		{&runtimeapi.SELinuxOption{Type: "t"}, "", ""},
	} {
		if got := withLevel(c.opts, c.pod); got.GetLevel() != c.want || got.GetType() != "t" {
			t.Errorf("got %v, want level %q", got, c.want)
		}
	}
}

func TestSELinuxOff(t *testing.T) {
	h := host(hostinfo.CgroupV2)
	if p, m, err := SELinuxLabels(nil, h, Defaults{}); p != "" || m != "" || err != nil {
		t.Errorf("got %q, %q, %v", p, m, err)
	}
	if p, m, err := SELinuxLabels(&runtimeapi.SELinuxOption{}, h, Defaults{}); p != "" || m != "" || err != nil {
		t.Errorf("empty options: got %q, %q, %v", p, m, err)
	}
	level := &runtimeapi.SELinuxOption{Level: "s0"}
	if p, m, err := SELinuxLabels(level, h, Defaults{}); p != "" || m != "" || err != nil || SELinuxIgnored(level, h, Defaults{}) == "" {
		t.Errorf("options: got %q, %q, %v", p, m, err)
	}
	h.SELinux = true
	off := Defaults{DisableSELinux: true}
	if p, m, err := SELinuxLabels(level, h, off); p != "" || m != "" || err != nil || SELinuxIgnored(level, h, off) == "" {
		t.Errorf("switched off: got %q, %q, %v", p, m, err)
	}
	if why := SELinuxIgnored(level, h, Defaults{}); why != "" {
		t.Errorf("ignored where SELinux is on: %s", why)
	}
}
