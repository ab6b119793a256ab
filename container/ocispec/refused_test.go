package ocispec

import (
	"errors"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	crierrors "k8s.io/cri-api/pkg/errors"

	"github.com/berth-run/berth/internal/hostinfo"
)

// TestRefused are requests that the host or the handler cannot fulfil: each
// with its class and a word that has to be in the message.
func TestRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Input)
		check  func(error) bool
		says   string
	}{
		"bind source that is a link to nothing": {func(in *Input) {
			in.FS.(*fakeFS).links["/dangling"] = "/no/such"
			in.Config.Mounts = []*runtimeapi.Mount{{ContainerPath: "/x", HostPath: "/dangling"}}
		}, errdefs.IsNotFound, "/dangling is a symbolic link"},
		"propagation from a private mount": {func(in *Input) {
			in.Config.Mounts = []*runtimeapi.Mount{{ContainerPath: "/x", HostPath: "/vol", Propagation: 1}}
		}, errdefs.IsFailedPrecondition, "make-rshared"},
		"bidirectional on a slave": {func(in *Input) {
			in.Config.Mounts = []*runtimeapi.Mount{{ContainerPath: "/x", HostPath: "/slave", Propagation: 2}}
		}, errdefs.IsFailedPrecondition, "/slave"},
		"recursive read-only": {func(in *Input) {
			in.Runtime.Features.RecursiveReadOnly = false
			in.Config.Mounts = []*runtimeapi.Mount{{ContainerPath: "/x", HostPath: "/vol", Readonly: true, RecursiveReadOnly: true}}
		}, func(err error) bool {
			return errors.Is(err, crierrors.ErrRROUnsupported) && errdefs.IsFailedPrecondition(err)
		}, "6.12.0"},
		"option the runtime does not know": {func(in *Input) {
			in.Config.Mounts = []*runtimeapi.Mount{{ContainerPath: "/x", HostPath: "/vol", MountOptions: []string{"nosymfollow"}}}
		}, errdefs.IsFailedPrecondition, "nosymfollow"},
		"idmapped mount on an old kernel": {func(in *Input) {
			in.Host = weak(hostinfo.CgroupV2)
			in.Config.Mounts = []*runtimeapi.Mount{{ContainerPath: "/x", HostPath: "/vol", UidMappings: []*runtimeapi.IDMapping{{Length: 1}}}}
		}, errdefs.IsFailedPrecondition, "idmapped"},
		"idmapped mount with an old runtime": {func(in *Input) {
			in.Runtime.Features.UserNamespaces = false
			in.Config.Mounts = []*runtimeapi.Mount{{ContainerPath: "/x", HostPath: "/vol", UidMappings: []*runtimeapi.IDMapping{{Length: 1}}}}
		}, errdefs.IsFailedPrecondition, "OCI runtime"},
		"image not mounted": {func(in *Input) {
			in.Config.Mounts = []*runtimeapi.Mount{{ContainerPath: "/x", Image: &runtimeapi.ImageSpec{Image: "img"}}}
		}, errdefs.IsFailedPrecondition, "img"},
		"no such device": {func(in *Input) {
			in.Config.Devices = []*runtimeapi.Device{{HostPath: "/dev/nosuch"}}
		}, errdefs.IsNotFound, "/dev/nosuch"},
		"not a device": {func(in *Input) {
			in.Config.Devices = []*runtimeapi.Device{{HostPath: "/vol"}}
		}, errdefs.IsInvalidArgument, "/vol"},
		"CDI switched off": {func(in *Input) {
			in.Config.CDIDevices = []*runtimeapi.CDIDevice{{Name: "v.com/gpu=0"}}
		}, errdefs.IsFailedPrecondition, "v.com/gpu=0"},
		"unknown CDI device": {func(in *Input) {
			in.CDI = fakeCDI{}
			in.Config.CDIDevices = []*runtimeapi.CDIDevice{{Name: "vendor.com/gpu=9"}}
		}, errdefs.IsNotFound, "vendor.com/gpu=9"},
		"seccomp without the kernel": {func(in *Input) {
			in.Host = weak(hostinfo.CgroupV2)
			sc(in).Seccomp = &runtimeapi.SecurityProfile{}
		}, errdefs.IsFailedPrecondition, "kernel"},
		"seccomp without the runtime": {func(in *Input) {
			in.Runtime.Features.Seccomp = false
			sc(in).SeccompProfilePath = "runtime/default"
		}, errdefs.IsFailedPrecondition, "runtime"},
		"seccomp file missing": {func(in *Input) {
			sc(in).Seccomp = &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_Localhost, LocalhostRef: "/p.json"}
		}, errdefs.IsNotFound, "/p.json"},
		"seccomp file is not JSON": {func(in *Input) {
			in.FS.(*fakeFS).files["/p.json"] = "{"
			sc(in).SeccompProfilePath = "localhost//p.json"
		}, errdefs.IsInvalidArgument, "/p.json"},
		"seccomp file is empty": {func(in *Input) {
			in.FS.(*fakeFS).files["/p.json"] = "{}"
			sc(in).SeccompProfilePath = "localhost//p.json"
		}, errdefs.IsInvalidArgument, "defaultAction"},
		"AppArmor without the kernel": {func(in *Input) {
			sc(in).Apparmor = &runtimeapi.SecurityProfile{}
		}, errdefs.IsFailedPrecondition, "AppArmor"},
		"AppArmor profile not loaded": {func(in *Input) {
			in.Host.AppArmor = true
			sc(in).ApparmorProfile = "localhost/mine"
		}, errdefs.IsNotFound, "mine"},
		"AppArmor without its parser": {func(in *Input) {
			in.Host.AppArmor = true
			sc(in).ApparmorProfile = "runtime/default"
		}, errdefs.IsFailedPrecondition, "apparmor_parser"},
		"unified keys on v1": {func(in *Input) {
			in.Host = host(hostinfo.CgroupHybrid)
			in.Config.Linux.Resources = &runtimeapi.LinuxContainerResources{Unified: map[string]string{"memory.high": "1"}}
		}, errdefs.IsFailedPrecondition, "hybrid"},
		"hugepages without a controller": {func(in *Input) {
			in.Host = weak(hostinfo.CgroupV2)
			in.Defaults.RefuseMissingHugetlb = true
			in.Config.Linux.Resources = &runtimeapi.LinuxContainerResources{HugepageLimits: []*runtimeapi.HugepageLimit{{PageSize: "2MB"}}}
		}, errdefs.IsFailedPrecondition, "hugetlb"},
		"block-IO class without configuration": {func(in *Input) {
			in.Config.Annotations = map[string]string{"io.kubernetes.cri.blockio-class": "slow"}
		}, errdefs.IsFailedPrecondition, "slow"},
		"RDT class without resctrl": {func(in *Input) {
			in.Host.Resctrl = false
			in.Defaults.EnableRDT = true
			in.Sandbox.Config.Annotations = map[string]string{"rdt.resources.beta.kubernetes.io/container.app": "gold"}
		}, errdefs.IsFailedPrecondition, "gold"},
		"RDT class that no pod may choose": {func(in *Input) {
			in.Sandbox.Config.Annotations = map[string]string{"rdt.resources.beta.kubernetes.io/pod": "gold"}
		}, errdefs.IsFailedPrecondition, "container.enable_rdt"},
		"the node's seccomp profile is gone": {func(in *Input) {
			in.Defaults.SeccompFile = "/gone.json"
		}, errdefs.IsNotFound, "security.unset_seccomp_profile"},
		"shared PID namespace that is not there": {func(in *Input) {
			podSC(in).NamespaceOptions.Pid = runtimeapi.NamespaceMode_POD
		}, errdefs.IsFailedPrecondition, "PID"},
		"target that does not run": {func(in *Input) {
			sc(in).NamespaceOptions = &runtimeapi.NamespaceOption{Pid: runtimeapi.NamespaceMode_TARGET, TargetId: "abc"}
		}, errdefs.IsFailedPrecondition, "abc"},
		"user outside of the user namespace": {func(in *Input) {
			userns(in)
			in.User.UID = 70000
		}, errdefs.IsInvalidArgument, "70000"},
	} {
		t.Run(name, func(t *testing.T) {
			in := input()
			c.change(&in)
			if err := Validate(in.Config, in.Sandbox.Config); err != nil {
				t.Fatalf("Validate refuses what only the host can know: %v", err)
			}
			_, err := Build(in)
			if !c.check(err) {
				t.Fatalf("wrong class: %v", err)
			}
			if !strings.Contains(err.Error(), c.says) {
				t.Errorf("no %q in: %v", c.says, err)
			}
		})
	}
}
