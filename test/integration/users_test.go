package integration

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/tools/remotecommand"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
	"github.com/berth-run/berth/test/images"
)

func TestUsers(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		pod := d.RunPod(t, daemon.WithPod(func(c *runtimeapi.PodSandboxConfig) {
			c.Linux.SecurityContext.SupplementalGroups = []int64{7000}
		}))
		for name, c := range map[string]struct {
			image  string
			change func(*runtimeapi.LinuxContainerSecurityContext)
			want   string // uid, gid, all groups
		}{
			"root":               {images.Busybox, nil, "0 0 0 7000"},
			"image, by name":     {images.Groups, nil, "1000 1000 1000 2000 3000 7000"},
			"image, by number":   {images.UserUID, nil, "1002 0 0 7000"},
			"image, both":        {images.UserUIDGroup, nil, "1003 100 100 7000"},
			"name":               {images.Groups, func(s *runtimeapi.LinuxContainerSecurityContext) { s.RunAsUsername = "bob" }, "1001 100 100 2000 4000 7000"},
			"number":             {images.Groups, func(s *runtimeapi.LinuxContainerSecurityContext) { s.RunAsUser = &runtimeapi.Int64Value{Value: 1001} }, "1001 100 100 2000 4000 7000"},
			"number, group":      {images.Groups, runAs(4242, 4343), "4242 4343 4343 7000"},
			"strict":             {images.Groups, strict(1000, 1000, 5000), "1000 1000 1000 5000 7000"},
			"supplemental merge": {images.Groups, func(s *runtimeapi.LinuxContainerSecurityContext) { s.SupplementalGroups = []int64{5000} }, "1000 1000 1000 2000 3000 5000 7000"},
		} {
			t.Run(name, func(t *testing.T) {
				options := []daemon.ContainerOption{daemon.WithImage(c.image)}
				if c.change != nil {
					options = append(options, security(c.change))
				}
				ctr := pod.RunWith(t, options...)
				got := ctr.Output(t, "id -u; id -g; id -G | tr ' ' '\\n' | sort -n")
				if got := strings.Join(strings.Fields(got), " "); got != c.want {
					t.Errorf("%s, want %s", got, c.want)
				}
				user := ctr.Status(t).GetUser().GetLinux()
				if fields := strings.Fields(c.want); itoa(int(user.GetUid())) != fields[0] || itoa(int(user.GetGid())) != fields[1] {
					t.Errorf("status has %v", user)
				}
				ctr.Remove(t)
			})
		}
	})
}

func runAs(uid, gid int64) func(*runtimeapi.LinuxContainerSecurityContext) {
	return func(s *runtimeapi.LinuxContainerSecurityContext) {
		s.RunAsUser, s.RunAsGroup = &runtimeapi.Int64Value{Value: uid}, &runtimeapi.Int64Value{Value: gid}
	}
}

func strict(uid, gid int64, groups ...int64) func(*runtimeapi.LinuxContainerSecurityContext) {
	return func(s *runtimeapi.LinuxContainerSecurityContext) {
		runAs(uid, gid)(s)
		s.SupplementalGroups = groups
		s.SupplementalGroupsPolicy = runtimeapi.SupplementalGroupsPolicy_Strict
	}
}

// TestSecurity looks at capabilities, no_new_privs and seccomp of a container.
func TestSecurity(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		pod := d.RunPod(t)
		field := func(c *daemon.Container, name string) string {
			t.Helper()
			return strings.TrimSpace(strings.TrimPrefix(c.Output(t, "grep ^"+name+": /proc/1/status"), name+":"))
		}
		plain := pod.Run(t)
		if field(plain, "NoNewPrivs") != "0" || field(plain, "Seccomp") != "0" || field(plain, "CapEff") != "00000000a80425fb" {
			t.Errorf("defaults: no_new_privs %s, seccomp %s, capabilities %s", field(plain, "NoNewPrivs"), field(plain, "Seccomp"), field(plain, "CapEff"))
		}
		tight := pod.RunWith(t, security(func(s *runtimeapi.LinuxContainerSecurityContext) {
			s.NoNewPrivs = true
			s.Seccomp = &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_RuntimeDefault}
			s.Capabilities = &runtimeapi.Capability{DropCapabilities: []string{"ALL"}, AddCapabilities: []string{"NET_ADMIN"}}
		}))
		if field(tight, "NoNewPrivs") != "1" || field(tight, "Seccomp") != "2" || field(tight, "CapEff") != "0000000000001000" {
			t.Errorf("tight: no_new_privs %s, seccomp %s, capabilities %s", field(tight, "NoNewPrivs"), field(tight, "Seccomp"), field(tight, "CapEff"))
		}
		ambient := pod.RunWith(t, security(runAs(1000, 1000)), security(func(s *runtimeapi.LinuxContainerSecurityContext) {
			s.Capabilities = &runtimeapi.Capability{AddAmbientCapabilities: []string{"NET_BIND_SERVICE"}}
		}))
		if field(ambient, "CapAmb") != "0000000000000400" || field(ambient, "CapEff") != "0000000000000400" {
			t.Errorf("ambient: %s, effective %s", field(ambient, "CapAmb"), field(ambient, "CapEff"))
		}
	})
}

// TestHome: HOME is what the /etc/passwd says that the container sees, whoever brought it, unless the image or
// the request sets it; for the container's process and for commands.
func TestHome(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		passwd := filepath.Join(t.TempDir(), "passwd")
		if err := os.WriteFile(passwd, []byte("root:x:0:0::/root:/bin/sh\nme:x:4321:4321::/home/me:/bin/sh\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		mounted := withMount(&runtimeapi.Mount{HostPath: passwd, ContainerPath: "/etc/passwd", Readonly: true})
		as := func(uid int64, policy runtimeapi.SupplementalGroupsPolicy) daemon.ContainerOption {
			return func(c *runtimeapi.ContainerConfig) {
				c.Linux = &runtimeapi.LinuxContainerConfig{SecurityContext: &runtimeapi.LinuxContainerSecurityContext{
					RunAsUser: &runtimeapi.Int64Value{Value: uid}, RunAsGroup: &runtimeapi.Int64Value{Value: uid}, SupplementalGroupsPolicy: policy,
				}}
			}
		}
		set := func(c *runtimeapi.ContainerConfig) {
			c.Envs = []*runtimeapi.KeyValue{{Key: "HOME", Value: []byte("/set")}}
		}
		const merge, strict = runtimeapi.SupplementalGroupsPolicy_Merge, runtimeapi.SupplementalGroupsPolicy_Strict
		pod := d.RunPod(t)
		for name, c := range map[string]struct {
			opts []daemon.ContainerOption
			want string
		}{
			"mounted":         {[]daemon.ContainerOption{as(4321, merge), mounted}, "/home/me"},
			"mounted, strict": {[]daemon.ContainerOption{as(4321, strict), mounted}, "/home/me"},
			"root, strict":    {[]daemon.ContainerOption{as(0, strict), mounted}, "/root"},
			"unknown":         {[]daemon.ContainerOption{as(999, merge), mounted}, "/"},
			"set":             {[]daemon.ContainerOption{as(4321, merge), mounted, set}, "/set"},
		} {
			ctr := pod.RunWith(t, append([]daemon.ContainerOption{daemon.WithShell("echo home=$HOME; sleep 1000")}, c.opts...)...)
			ctr.WaitLog(t, "home="+c.want+"\n")
			if got := ctr.Output(t, "echo $HOME"); got != c.want+"\n" {
				t.Errorf("%s: a command has HOME=%q, want %q", name, got, c.want)
			}
		}
	})
}

// TestTerm: a command with a terminal has a TERM.
func TestTerm(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		plain := d.RunPod(t).Run(t)
		vt := d.RunPod(t).RunWith(t, daemon.WithShell("sleep 1000"), func(c *runtimeapi.ContainerConfig) {
			c.Envs = []*runtimeapi.KeyValue{{Key: "TERM", Value: []byte("vt100")}}
		})
		eachProtocol(t, d, func(t *testing.T, s *streamer) {
			for ctr, want := range map[*daemon.Container]string{plain: "xterm", vt: "vt100"} {
				var out bytes.Buffer
				err := s.exec(t.Context(), ctr, remotecommand.StreamOptions{Stdout: &out, Tty: true}, "sh", "-c", "echo $TERM")
				if err != nil || strings.TrimSpace(out.String()) != want {
					t.Errorf("TERM=%q, want %q: %v", out.String(), want, err)
				}
			}
		})
	})
}
