package ocispec

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/mount"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/container/users"
	"github.com/berth-run/berth/internal/hostinfo"
)

// findRunc is the runc that the Makefile builds, or the host's.
func findRunc(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: it runs containers")
	}
	if p, err := filepath.Abs("../../bin/runc"); err == nil {
		if _, err := os.Stat(p); err == nil {
			return p
		}
	}
	p, err := exec.LookPath("runc")
	if err != nil {
		t.Skip("needs runc: run make build")
	}
	return p
}

// runcInput is a container without a pod's namespaces, whose root has the
// host's programs by bind mounts.
func runcInput(t *testing.T, runc, script string) Input {
	t.Helper()
	h, err := hostinfo.Detect(t.Context(), hostinfo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	f, err := hostinfo.QueryRuntime(t.Context(), runc, h)
	if err != nil {
		t.Fatal(err)
	}
	in := input()
	in.Host, in.FS = h, nil
	in.Runtime = Runtime{Features: f}
	in.Sandbox.Namespaces = Namespaces{}
	in.Sandbox.ShmPath, in.Sandbox.HostsPath, in.Sandbox.HostnamePath, in.Sandbox.ResolvConfPath = "", "", "", ""
	in.CgroupsPath = fmt.Sprintf("/berth-spec-test-%d", os.Getpid())
	in.Image.Config = ocispec.ImageConfig{}
	in.Config.Command = []string{"/bin/sh", "-c", script}
	for _, dir := range []string{"/bin", "/lib", "/lib64", "/usr"} {
		if _, err := os.Stat(dir); err == nil {
			in.Config.Mounts = append(in.Config.Mounts, &runtimeapi.Mount{ContainerPath: dir, HostPath: dir, Readonly: true})
		}
	}
	// HOME comes from the file that the container sees.
	in.Config.Mounts = append(in.Config.Mounts, &runtimeapi.Mount{ContainerPath: "/etc/passwd", HostPath: "/etc/passwd", Readonly: true})
	return in
}

// run runs a container and answers what it prints.
func run(t *testing.T, runc string, s *specs.Spec) (string, error) {
	t.Helper()
	bundle := t.TempDir()
	if err := os.Mkdir(filepath.Join(bundle, "rootfs"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(bundle, 0o755); err != nil {
		t.Fatal(err)
	}
	if len(s.Linux.UIDMappings) > 0 {
		if err := os.Chown(filepath.Join(bundle, "rootfs"), int(s.Linux.UIDMappings[0].HostID), int(s.Linux.GIDMappings[0].HostID)); err != nil {
			t.Fatal(err)
		}
		// Every directory on the way has to be passable for the pod's root.
		for d := filepath.Dir(bundle); d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
			if err := os.Chmod(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bundle, "config.json"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	id := fmt.Sprintf("berth-spec-test-%d", os.Getpid())
	root := filepath.Join(bundle, "state")
	t.Cleanup(func() { exec.Command(runc, "--root", root, "delete", "-f", id).Run() })
	out, err := exec.CommandContext(t.Context(), runc, "--root", root, "run", "-b", bundle, id).CombinedOutput()
	return string(out), err
}

// TestRunc runs specs with the real runtime and looks at what the process has.
func TestRunc(t *testing.T) {
	runc := findRunc(t)
	const facts = `echo uid=$(id -u) gid=$(id -g) groups=$(id -G | tr ' ' ,); grep -E '^(NoNewPrivs|Seccomp|CapEff|CapAmb):' /proc/self/status | tr -d '\t'; ` +
		`echo oom=$(cat /proc/self/oom_score_adj); echo pwd=$(pwd) home=$HOME path=$PATH; ` +
		`(: > /berth-probe) 2>/dev/null && echo root-writable; test -w /sys/kernel && echo sys-writable; ls /dev/null /dev/pts/ptmx; echo map=$(cat /proc/self/uid_map | tr -s ' ')`
	for name, c := range map[string]struct {
		change func(*testing.T, *Input)
		want   []string
		not    []string
	}{
		"plain": {
			change: func(_ *testing.T, in *Input) {},
			want:   []string{"uid=0 gid=0 groups=0", "NoNewPrivs:0", "Seccomp:0", "CapEff:00000000a80425fb", "oom=0", "pwd=/ home=/root path=/usr/local/sbin", "/dev/pts/ptmx", "root-writable"},
		},
		"hardened": {
			change: func(_ *testing.T, in *Input) {
				in.User = users.Resolved{UID: 1000, GID: 2000, AdditionalGIDs: []uint32{2000, 3000}}
				in.Config.Linux.Resources = &runtimeapi.LinuxContainerResources{OomScoreAdj: 800, MemoryLimitInBytes: 1 << 28, CpuShares: 100, CpuQuota: 50000, CpuPeriod: 100000,
					HugepageLimits: []*runtimeapi.HugepageLimit{{PageSize: "2MB"}}}
				*sc(in) = runtimeapi.LinuxContainerSecurityContext{NoNewPrivs: true, ReadonlyRootfs: true,
					Capabilities: &runtimeapi.Capability{DropCapabilities: []string{"ALL"}, AddAmbientCapabilities: []string{"NET_BIND_SERVICE"}},
					Seccomp:      &runtimeapi.SecurityProfile{}, MaskedPaths: []string{"/proc/kcore", "/no/such"}, ReadonlyPaths: []string{"/proc/sys"}}
				for _, m := range in.Config.Mounts {
					m.RecursiveReadOnly = in.Runtime.Features.RecursiveReadOnly
				}
			},
			want: []string{"uid=1000 gid=2000 groups=2000,3000", "NoNewPrivs:1", "Seccomp:2", "CapEff:0000000000000400", "CapAmb:0000000000000400", "oom=800"},
			not:  []string{"root-writable", "sys-writable"},
		},
		"privileged": {
			change: func(_ *testing.T, in *Input) {
				podSC(in).Privileged = true
				*sc(in) = runtimeapi.LinuxContainerSecurityContext{Privileged: true, Seccomp: &runtimeapi.SecurityProfile{}}
			},
			want: []string{"Seccomp:0", "root-writable", "sys-writable"},
			not:  []string{"CapEff:00000000a80425fb"},
		},
		"userns": {
			change: func(t *testing.T, in *Input) {
				if !in.Runtime.Features.UserNamespaces {
					t.Skip("needs user namespaces and idmapped mounts")
				}
				f, err := mount.GetUsernsFD("0:131072:65536", "0:131072:65536")
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				pin := filepath.Join(t.TempDir(), "user")
				if err := os.WriteFile(pin, nil, 0o644); err != nil {
					t.Fatal(err)
				}
				if err := unix.Mount(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), pin, "", unix.MS_BIND, ""); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { unix.Unmount(pin, unix.MNT_DETACH) })
				in.Sandbox.Namespaces.User = pin
				ids := []*runtimeapi.IDMapping{{HostId: 131072, Length: 65536}}
				podSC(in).NamespaceOptions = &runtimeapi.NamespaceOption{Pid: runtimeapi.NamespaceMode_CONTAINER, UsernsOptions: &runtimeapi.UserNamespace{Uids: ids, Gids: ids}}
				data := t.TempDir()
				in.Config.Mounts = append(in.Config.Mounts, &runtimeapi.Mount{ContainerPath: "/data", HostPath: data, UidMappings: ids, GidMappings: ids})
				in.Config.Command[2] += "; echo owner=$(stat -c %u /data)"
				in.Config.Devices = []*runtimeapi.Device{{HostPath: "/dev/zero", ContainerPath: "/dev/nought"}}
				in.Config.Command[2] += "; ls -l /dev/nought"
			},
			want: []string{"uid=0 gid=0", "map= 0 131072 65536", "owner=0", "1, 5"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			in := runcInput(t, runc, facts)
			c.change(t, &in)
			out := build(t, in)
			if in.Sandbox.Namespaces.User != "" {
				// Namespaces of the user namespace's own, as a pod would have.
				for _, ns := range []specs.LinuxNamespaceType{specs.NetworkNamespace, specs.IPCNamespace, specs.UTSNamespace} {
					out.Spec.Linux.Namespaces = append(out.Spec.Linux.Namespaces, specs.LinuxNamespace{Type: ns})
				}
			}
			got, err := run(t, runc, out.Spec)
			if err != nil {
				t.Fatalf("runc: %v\n%s", err, got)
			}
			for _, w := range c.want {
				if !strings.Contains(got, w) {
					t.Errorf("no %q in\n%s", w, got)
				}
			}
			for _, w := range c.not {
				if strings.Contains(got, w) {
					t.Errorf("%q in\n%s", w, got)
				}
			}
		})
	}
}
