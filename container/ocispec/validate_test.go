package ocispec

import (
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// TestValidate: each case is one mistake in an ordinary request, with a word
// of the field's name that has to be in the message.
func TestValidate(t *testing.T) {
	mount := func(m *runtimeapi.Mount) func(*Input) {
		return func(in *Input) {
			if m.ContainerPath == "" {
				m.ContainerPath = "/x"
			}
			in.Config.Mounts = []*runtimeapi.Mount{m}
		}
	}
	image := &runtimeapi.ImageSpec{Image: "i"}
	ids := func(m ...*runtimeapi.IDMapping) func(*Input) {
		return func(in *Input) {
			podSC(in).NamespaceOptions.UsernsOptions = &runtimeapi.UserNamespace{Uids: m, Gids: m}
		}
	}
	resources := func(r *runtimeapi.LinuxContainerResources) func(*Input) {
		return func(in *Input) { in.Config.Linux.Resources = r }
	}
	for name, c := range map[string]struct {
		change func(*Input)
		says   string
	}{
		"no metadata":                 {func(in *Input) { in.Config.Metadata = nil }, "metadata"},
		"no name":                     {func(in *Input) { in.Config.Metadata.Name = "" }, "name"},
		"no image":                    {func(in *Input) { in.Config.Image = nil }, "image"},
		"no pod metadata":             {func(in *Input) { in.Sandbox.Config.Metadata = nil }, "sandbox_config.metadata"},
		"environment without a name":  {func(in *Input) { in.Config.Envs = []*runtimeapi.KeyValue{{Key: "=B"}} }, "envs"},
		"mount without a place":       {func(in *Input) { in.Config.Mounts = []*runtimeapi.Mount{{HostPath: "/vol"}} }, "container_path"},
		"NUL in the environment":      {func(in *Input) { in.Config.Envs = []*runtimeapi.KeyValue{{Key: "A", Value: []byte{0}}} }, "envs"},
		"NUL in an argument":          {func(in *Input) { in.Config.Args = []string{"a\x00"} }, "args"},
		"empty program":               {func(in *Input) { in.Config.Command = []string{""} }, "command"},
		"relative directory":          {func(in *Input) { in.Config.WorkingDir = "app" }, "working_dir"},
		"unknown signal":              {func(in *Input) { in.Config.StopSignal = 999 }, "stop_signal"},
		"log outside":                 {func(in *Input) { in.Config.LogPath = "../other/0.log" }, "log_path"},
		"log outside, hidden":         {func(in *Input) { in.Config.LogPath = "a/../../0.log" }, "log_path"},
		"log is the directory":        {func(in *Input) { in.Config.LogPath = "a/.." }, "log_path"},
		"relative log directory":      {func(in *Input) { in.Sandbox.Config.LogDirectory = "logs" }, "log_directory"},
		"mount over the root":         {mount(&runtimeapi.Mount{ContainerPath: "/x/..", HostPath: "/vol"}), "container_path"},
		"relative host path":          {mount(&runtimeapi.Mount{HostPath: "vol"}), "host_path"},
		"no source":                   {mount(&runtimeapi.Mount{}), "host_path"},
		"image and host path":         {mount(&runtimeapi.Mount{HostPath: "/vol", Image: image}), "host_path"},
		"sub path without image":      {mount(&runtimeapi.Mount{HostPath: "/vol", ImageSubPath: "a"}), "image_sub_path"},
		"sub path leads out":          {mount(&runtimeapi.Mount{Image: image, ImageSubPath: "a/../.."}), "image_sub_path"},
		"absolute sub path":           {mount(&runtimeapi.Mount{Image: image, ImageSubPath: "/a"}), "image_sub_path"},
		"rro that is rw":              {mount(&runtimeapi.Mount{HostPath: "/vol", RecursiveReadOnly: true}), "recursive_read_only"},
		"rro that propagates":         {mount(&runtimeapi.Mount{HostPath: "/vol", Readonly: true, RecursiveReadOnly: true, Propagation: 1}), "propagation"},
		"option that makes it rw":     {mount(&runtimeapi.Mount{HostPath: "/vol", Readonly: true, MountOptions: []string{"rw"}}), "mount option"},
		"option that makes it shared": {mount(&runtimeapi.Mount{HostPath: "/vol", MountOptions: []string{"rshared"}}), "mount option"},
		"relative device":             {func(in *Input) { in.Config.Devices = []*runtimeapi.Device{{HostPath: "kvm"}} }, "devices[0]"},
		"device permissions":          {func(in *Input) { in.Config.Devices = []*runtimeapi.Device{{HostPath: "/dev/kvm", Permissions: "rx"}} }, "permissions"},
		"CDI name":                    {func(in *Input) { in.Config.CDIDevices = []*runtimeapi.CDIDevice{{Name: "gpu0"}} }, "CDI"},
		"CDI annotation":              {func(in *Input) { in.Config.Annotations = map[string]string{"cdi.k8s.io/x": "gpu0"} }, "CDI"},
		"relative seccomp profile": {func(in *Input) {
			sc(in).Seccomp = &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_Localhost, LocalhostRef: "p.json"}
		}, "seccomp"},
		"unknown seccomp string": {func(in *Input) { sc(in).SeccompProfilePath = "default" }, "seccomp"},
		"unknown seccomp type":   {func(in *Input) { sc(in).Seccomp = &runtimeapi.SecurityProfile{ProfileType: 7} }, "seccomp"},
		"AppArmor without a name": {func(in *Input) {
			sc(in).Apparmor = &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_Localhost}
		}, "apparmor"},
		"target without ID": {func(in *Input) {
			sc(in).NamespaceOptions = &runtimeapi.NamespaceOption{Pid: runtimeapi.NamespaceMode_TARGET}
		}, "target_id"},
		"userns unlike the pod's": {func(in *Input) {
			sc(in).NamespaceOptions = &runtimeapi.NamespaceOption{UsernsOptions: &runtimeapi.UserNamespace{Uids: []*runtimeapi.IDMapping{{Length: 1}}}}
		}, "userns_options"},
		"userns without mappings":  {ids(), "exactly one"},
		"userns of two ranges":     {ids(&runtimeapi.IDMapping{HostId: 1, Length: 1}, &runtimeapi.IDMapping{HostId: 5, ContainerId: 1, Length: 1}), "exactly one"},
		"userns without root":      {ids(&runtimeapi.IDMapping{HostId: 1, ContainerId: 1, Length: 1}), "container ID 0"},
		"userns of no length":      {ids(&runtimeapi.IDMapping{HostId: 1}), "empty"},
		"userns past the last UID": {ids(&runtimeapi.IDMapping{HostId: 1 << 31, Length: 1<<31 + 1}), "too long"},
		"userns of a container": {func(in *Input) {
			podSC(in).NamespaceOptions.UsernsOptions = &runtimeapi.UserNamespace{Mode: runtimeapi.NamespaceMode_CONTAINER}
		}, "CONTAINER"},
		"userns of the node with mappings": {func(in *Input) {
			podSC(in).NamespaceOptions.UsernsOptions = &runtimeapi.UserNamespace{Mode: runtimeapi.NamespaceMode_NODE, Uids: []*runtimeapi.IDMapping{{Length: 1}}}
		}, "NODE"},
		"group without user":    {func(in *Input) { sc(in).RunAsGroup = &runtimeapi.Int64Value{Value: 1} }, "run_as_group"},
		"negative user":         {func(in *Input) { sc(in).RunAsUser = &runtimeapi.Int64Value{Value: -1} }, "run_as_user"},
		"user 2^32 is not root": {func(in *Input) { sc(in).RunAsUser = &runtimeapi.Int64Value{Value: 1 << 32} }, "run_as_user"},
		"group 2^32": {func(in *Input) {
			sc(in).RunAsUser, sc(in).RunAsGroup = &runtimeapi.Int64Value{}, &runtimeapi.Int64Value{Value: 1 << 32}
		}, "run_as_group"},
		"supplemental group":       {func(in *Input) { sc(in).SupplementalGroups = []int64{-1} }, "supplemental_groups"},
		"pod's supplemental group": {func(in *Input) { podSC(in).SupplementalGroups = []int64{1 << 40} }, "supplemental_groups"},
		"unknown policy":           {func(in *Input) { sc(in).SupplementalGroupsPolicy = 5 }, "policy"},
		"period":                   {resources(&runtimeapi.LinuxContainerResources{CpuPeriod: 10}), "cpu_period"},
		"quota":                    {resources(&runtimeapi.LinuxContainerResources{CpuQuota: 10}), "cpu_quota"},
		"shares":                   {resources(&runtimeapi.LinuxContainerResources{CpuShares: -1}), "cpu_shares"},
		"memory":                   {resources(&runtimeapi.LinuxContainerResources{MemoryLimitInBytes: -2}), "memory_limit"},
		"swap":                     {resources(&runtimeapi.LinuxContainerResources{MemorySwapLimitInBytes: -2}), "memory_swap_limit"},
		"swap below memory":        {resources(&runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 2, MemorySwapLimitInBytes: 1}), "memory_swap_limit"},
		"OOM score":                {resources(&runtimeapi.LinuxContainerResources{OomScoreAdj: 1001}), "oom_score_adj"},
		"CPUs":                     {resources(&runtimeapi.LinuxContainerResources{CpusetCpus: "all"}), "cpuset_cpus"},
		"memory nodes":             {resources(&runtimeapi.LinuxContainerResources{CpusetMems: "all"}), "cpuset_mems"},
		"page size":                {resources(&runtimeapi.LinuxContainerResources{HugepageLimits: []*runtimeapi.HugepageLimit{{PageSize: "../2MB"}}}), "page_size"},
		"unified key":              {resources(&runtimeapi.LinuxContainerResources{Unified: map[string]string{"../memory.max": "1"}}), "unified"},
	} {
		t.Run(name, func(t *testing.T) {
			in := input()
			c.change(&in)
			err := Validate(in.Config, in.Sandbox.Config)
			if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want an invalid argument that says %q", err, c.says)
			}
		})
	}
	if err := Validate(nil, nil); !errdefs.IsInvalidArgument(err) {
		t.Errorf("nil: %v", err)
	}
}

func TestUserSpec(t *testing.T) {
	one := &runtimeapi.Int64Value{Value: 1}
	for name, c := range map[string]struct {
		change      func(*Input)
		user, group string
		byName      bool
		groups      int
		strict      bool
	}{
		"nothing":                     {func(*Input) {}, "", "", false, 0, false},
		"image's":                     {func(in *Input) { in.Image.Config.User = "app:staff" }, "app", "staff", false, 0, false},
		"request's user voids both":   {func(in *Input) { in.Image.Config.User, sc(in).RunAsUser = "app:staff", one }, "1", "", false, 0, false},
		"request's user and group":    {func(in *Input) { sc(in).RunAsUser, sc(in).RunAsGroup = one, &runtimeapi.Int64Value{Value: 0} }, "1", "0", false, 0, false},
		"user name":                   {func(in *Input) { sc(in).RunAsUsername = "7" }, "7", "", true, 0, false},
		"user 0 is a user":            {func(in *Input) { in.Image.Config.User, sc(in).RunAsUser = "app", &runtimeapi.Int64Value{} }, "0", "", false, 0, false},
		"groups of pod and container": {func(in *Input) { podSC(in).SupplementalGroups, sc(in).SupplementalGroups = []int64{1}, []int64{2, 3} }, "", "", false, 3, false},
		"strict":                      {func(in *Input) { sc(in).SupplementalGroupsPolicy = runtimeapi.SupplementalGroupsPolicy_Strict }, "", "", false, 0, true},
	} {
		in := input()
		c.change(&in)
		u := UserSpec(in.Config, in.Sandbox.Config, in.Image)
		if u.User != c.user || u.Group != c.group || u.UserMustBeName != c.byName || len(u.SupplementalGroups) != c.groups || u.Strict != c.strict {
			t.Errorf("%s: got %+v", name, u)
		}
	}
}
