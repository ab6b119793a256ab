package guest

import (
	"os/exec"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
)

// denying is a profile that lets everything but writing below /tmp/denied.
const denying = `profile berth-vm-deny flags=(attach_disconnected) {
  file,
  network,
  capability,
  signal,
  deny /tmp/denied/** w,
}
`

func withAppArmor(kind runtimeapi.SecurityProfile_ProfileType, ref string) daemon.ContainerOption {
	return func(c *runtimeapi.ContainerConfig) {
		c.Linux.SecurityContext.Apparmor = &runtimeapi.SecurityProfile{ProfileType: kind, LocalhostRef: ref}
	}
}

// TestAppArmor has nothing to do with cgroups: this kernel has AppArmor, which the machine
// that runs all other tests may not.
func TestAppArmor(t *testing.T) {
	d := use(t)
	load := exec.Command("apparmor_parser", "--replace", "--skip-cache")
	load.Stdin = strings.NewReader(denying)
	if out, err := load.CombinedOutput(); err != nil {
		t.Fatalf("loading a profile: %v: %s", err, out)
	}
	pod := d.RunPod(t)
	const local = runtimeapi.SecurityProfile_Localhost
	for name, c := range map[string]struct {
		opt     daemon.ContainerOption
		want    string
		refuses bool
	}{
		"none":            {func(*runtimeapi.ContainerConfig) {}, "berth-default (enforce)\n", false},
		"default":         {withAppArmor(runtimeapi.SecurityProfile_RuntimeDefault, ""), "berth-default (enforce)\n", false},
		"unconfined":      {withAppArmor(runtimeapi.SecurityProfile_Unconfined, ""), "unconfined\n", false},
		"administrator's": {withAppArmor(local, "berth-vm-deny"), "berth-vm-deny (enforce)\n", true},
	} {
		t.Run(name, func(t *testing.T) {
			ctr := pod.RunWith(t, c.opt)
			got := ctr.Output(t, "cat /proc/1/attr/current /proc/self/attr/current; "+
				"mkdir -p /tmp/denied && echo x 2>/dev/null >/tmp/denied/file || echo refused")
			if text, refused := strings.CutSuffix(got, "refused\n"); refused != c.refuses || text != c.want+c.want {
				t.Errorf("profiles of the container and of an exec, and whether writing is refused: %q", got)
			}
		})
	}
	_, err := d.Runtime.CreateContainer(daemon.Context(t), pod.CreateRequest(withAppArmor(local, "absent")))
	if status.Code(err) != codes.NotFound {
		t.Errorf("a profile that is not loaded: %v", err)
	}
}
