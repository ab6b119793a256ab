package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
)

// TestNodeDefaults configures the seccomp profile and the capabilities of containers whose request
// says nothing of them.
func TestNodeDefaults(t *testing.T) {
	daemon.Require(t)
	profile := filepath.Join(t.TempDir(), "profile.json")
	text := `{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]}`
	if err := os.WriteFile(profile, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	d := daemon.Start(t, daemon.Options{Config: "[security]\nunset_seccomp_profile = \"localhost/" + profile + "\"\ndefault_capabilities = [\"chown\", \"CAP_KILL\"]\n"})
	pod := d.RunPod(t)
	c := pod.Run(t)
	if got := c.Output(t, "mkdir /new 2>&1; grep -E 'Seccomp:|CapEff' /proc/self/status"); !strings.Contains(got, "not permitted") ||
		!strings.Contains(got, "Seccomp:\t2") || !strings.Contains(got, "CapEff:\t0000000000000021") {
		t.Errorf("a container that asks for nothing: %s", got)
	}
	free := pod.RunWith(t, security(func(s *runtimeapi.LinuxContainerSecurityContext) {
		s.Seccomp = &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_Unconfined}
		s.Capabilities = &runtimeapi.Capability{AddCapabilities: []string{"SYS_CHROOT"}}
	}))
	if got := free.Output(t, "mkdir /new; grep -E 'Seccomp:|CapEff' /proc/self/status"); !strings.Contains(got, "Seccomp:\t0") || !strings.Contains(got, "CapEff:\t0000000000040021") {
		t.Errorf("a container that asks for no filter and one capability: %s", got)
	}
}
