package integration

import (
	"strings"
	"testing"

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
