package ocispec

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// TestAccepted are requests that containerd and CRI-O take: each is built, with a note where it, or a
// part of it, has no effect.
func TestAccepted(t *testing.T) {
	caps := func(c *runtimeapi.Capability) func(*Input) {
		return func(in *Input) { sc(in).Capabilities = c }
	}
	hasCap := func(name string, want bool) func(*Output) bool {
		return func(o *Output) bool { return slices.Contains(o.Spec.Process.Capabilities.Bounding, name) == want }
	}
	for name, c := range map[string]struct {
		change func(*Input)
		note   string // "" where nothing is ignored
		check  func(*Output) bool
	}{
		"SELinux options without SELinux": {func(in *Input) {
			sc(in).SelinuxOptions = &runtimeapi.SELinuxOption{Type: "spc_t"}
			in.Config.Mounts = []*runtimeapi.Mount{{ContainerPath: "/x", HostPath: "/vol", SelinuxRelabel: true}}
		}, "no SELinux", func(o *Output) bool { return o.Relabel == nil && o.Spec.Process.SelinuxLabel == "" }},
		"SELinux switched off": {func(in *Input) {
			in.Host.SELinux, in.Defaults.DisableSELinux = true, true
			sc(in).SelinuxOptions = &runtimeapi.SELinuxOption{Type: "spc_t"}
		}, "enable_selinux", func(o *Output) bool { return o.MountLabel == "" }},
		"drop of a star":      {caps(&runtimeapi.Capability{DropCapabilities: []string{"*"}}), `"*" is ignored`, hasCap("CAP_CHOWN", true)},
		"add of nonsense":     {caps(&runtimeapi.Capability{AddCapabilities: []string{"FLY", "net_admin"}}), `"FLY" is ignored`, hasCap("CAP_NET_ADMIN", true)},
		"add of a newer one":  {caps(&runtimeapi.Capability{AddCapabilities: []string{"BPF"}}), "6.12.0 does not have it", hasCap("CAP_BPF", false)},
		"ambient nonsense":    {caps(&runtimeapi.Capability{AddAmbientCapabilities: []string{"FLY"}}), `"FLY" is ignored`, hasCap("CAP_FLY", false)},
		"prefix":              {caps(&runtimeapi.Capability{AddCapabilities: []string{"CAP_NET_ADMIN"}}), "", hasCap("CAP_NET_ADMIN", true)},
		"all in lower case":   {caps(&runtimeapi.Capability{DropCapabilities: []string{"all"}, AddCapabilities: []string{"Chown"}}), "", hasCap("CAP_KILL", false)},
		"Windows":             {func(in *Input) { in.Config.Windows = &runtimeapi.WindowsContainerConfig{} }, "windows", nil},
		"user beside a name":  {func(in *Input) { sc(in).RunAsUser, sc(in).RunAsUsername = &runtimeapi.Int64Value{}, "root" }, "run_as_user", nil},
		"equals sign in name": {func(in *Input) { in.Config.Envs = []*runtimeapi.KeyValue{{Key: "A=B", Value: []byte("c")}} }, "", func(o *Output) bool { return slices.Contains(o.Spec.Process.Env, "A=B=c") }},
		"relative masked and read-only paths": {func(in *Input) {
			sc(in).MaskedPaths, sc(in).ReadonlyPaths = []string{"proc/kcore", ""}, []string{"proc/sys"}
		}, "", func(o *Output) bool {
			return slices.Equal(o.Spec.Linux.MaskedPaths, []string{"/proc/kcore"}) && slices.Equal(o.Spec.Linux.ReadonlyPaths, []string{"/proc/sys"})
		}},
		"relative container path": {func(in *Input) {
			in.Config.Mounts = []*runtimeapi.Mount{{ContainerPath: "data/x", HostPath: "/vol"}}
		}, "", mounted("/data/x", "/vol")},
		"several mounts at a place": {func(in *Input) {
			in.Config.Mounts = []*runtimeapi.Mount{{ContainerPath: "/x/", HostPath: "/vol"}, {ContainerPath: "x", HostPath: "/vol/deep"}}
		}, "last one counts", mounted("/x", "/vol/deep")},
		"network of its own": {func(in *Input) {
			sc(in).NamespaceOptions = &runtimeapi.NamespaceOption{Network: runtimeapi.NamespaceMode_CONTAINER, Pid: runtimeapi.NamespaceMode_CONTAINER}
		}, "network CONTAINER", func(o *Output) bool {
			return slices.ContainsFunc(o.Spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool {
				return n.Type == specs.NetworkNamespace && n.Path == "/run/berth/pods/a/ns/net"
			})
		}},
		"unknown propagation": {func(in *Input) {
			in.Config.Mounts = []*runtimeapi.Mount{{ContainerPath: "/x", HostPath: "/vol", Propagation: 9}}
		}, "Propagation 9", mounted("/x", "/vol")},
		"relative path of a device": {func(in *Input) {
			in.Config.Devices = []*runtimeapi.Device{{HostPath: "/dev/kvm", ContainerPath: "dev/x"}}
		}, "", func(o *Output) bool {
			return len(o.Spec.Linux.Devices) == 1 && o.Spec.Linux.Devices[0].Path == "/dev/x"
		}},
		"missing host path": {func(in *Input) {
			in.Config.Mounts = []*runtimeapi.Mount{{ContainerPath: "/x", HostPath: "/no/such"}}
		}, "", func(o *Output) bool { return slices.Equal(o.Directories, []string{"/no/such"}) }},
		"missing host path below a link": {func(in *Input) {
			in.Config.Mounts = []*runtimeapi.Mount{{ContainerPath: "/x", HostPath: "/link/no/such/"}}
		}, "", func(o *Output) bool { return slices.Equal(o.Directories, []string{"/real/no/such"}) }},
		"user namespace on the host's network": {func(in *Input) {
			userns(in)
			in.Sandbox.Namespaces.Net, in.Sandbox.Namespaces.UTS = "", ""
			podSC(in).NamespaceOptions.Network = runtimeapi.NamespaceMode_NODE
		}, "", mounted("/sys", "/sys")},
		"privileged in a pod that was not": {func(in *Input) { sc(in).Privileged = true }, "", hasCap("CAP_SYS_ADMIN", true)},
	} {
		t.Run(name, func(t *testing.T) {
			in := input()
			c.change(&in)
			out := build(t, in)
			notes := strings.Join(out.Warnings, "\n")
			if (c.note == "") != (notes == "") || !strings.Contains(notes, c.note) {
				t.Errorf("notes %q, want %q", notes, c.note)
			}
			if c.check != nil && !c.check(out) {
				t.Errorf("not as wanted: directories %v, mounts %v, capabilities %v", out.Directories, out.Spec.Mounts, out.Spec.Process.Capabilities)
			}
		})
	}
}

// mounted reports whether exactly one bind mount is at dest, of source.
func mounted(dest, source string) func(*Output) bool {
	return func(o *Output) bool {
		found := slices.DeleteFunc(slices.Clone(o.Spec.Mounts), func(m specs.Mount) bool { return m.Destination != dest })
		return len(found) == 1 && found[0].Source == source && found[0].Type == "bind"
	}
}

func TestValidatePrivileged(t *testing.T) {
	in := input()
	sc(&in).Privileged = true
	if err := ValidatePrivileged(in.Config, in.Sandbox.Config); !errdefs.IsInvalidArgument(err) {
		t.Errorf("unprivileged sandbox_config: %v", err)
	}
	podSC(&in).Privileged = true
	if err := ValidatePrivileged(in.Config, in.Sandbox.Config); err != nil {
		t.Errorf("privileged sandbox_config: %v", err)
	}
}

// TestPrepareMakesSources: missing directories are made 0755, and whatever came to be there first is kept.
func TestPrepareMakesSources(t *testing.T) {
	root := t.TempDir()
	missing, socket := filepath.Join(root, "a/b"), filepath.Join(root, "sock")
	if err := os.WriteFile(socket, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	o := Output{Directories: []string{missing, socket}}
	for range 2 {
		if err := o.Prepare(); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(missing); err != nil || !info.IsDir() || info.Mode().Perm() != 0o755 {
		t.Errorf("%v, %v", info, err)
	}
	if info, err := os.Lstat(socket); err != nil || !info.Mode().IsRegular() {
		t.Errorf("%v, %v", info, err)
	}
}

// TestMissingSourceOnTheHost resolves on a real file system.
func TestMissingSourceOnTheHost(t *testing.T) {
	root := t.TempDir()
	for link, to := range map[string]string{"link": "real", "dangling": "nothing"} {
		if err := os.Symlink(filepath.Join(root, to), filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(root, "real"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"new": "new", "new/deep": "new/deep", "link/new": "real/new", "link/new/deep": "real/new/deep",
		"dangling": "", "dangling/new": "", "file/new": "",
	} {
		in := input()
		in.FS = nil
		in.Config.Mounts = []*runtimeapi.Mount{{ContainerPath: "/x", HostPath: filepath.Join(root, path)}}
		out, err := Build(in)
		switch {
		case want == "" && !errdefs.IsNotFound(err):
			t.Errorf("%s: %v", path, err)
		case want != "" && (err != nil || !slices.Equal(out.Directories, []string{filepath.Join(root, want)})):
			t.Errorf("%s: %v, want %s", path, err, want)
		}
	}
}

// TestNotesAreBounded: a request of many capabilities that nobody knows leaves few notes.
func TestNotesAreBounded(t *testing.T) {
	in := input()
	sc(&in).Capabilities = &runtimeapi.Capability{}
	for i := range 900 {
		sc(&in).Capabilities.DropCapabilities = append(sc(&in).Capabilities.DropCapabilities, fmt.Sprint("NO", i))
	}
	if out := build(t, in); len(out.Warnings) != 32 || !strings.Contains(out.Warnings[31], "More") {
		t.Errorf("%d notes", len(out.Warnings))
	}
}
