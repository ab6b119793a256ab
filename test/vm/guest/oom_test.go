package guest

import (
	"testing"

	"github.com/berth-run/berth/test/daemon"
	"github.com/berth-run/berth/test/images"
)

// TestOOM ends containers for want of memory, or only a child of them.
func TestOOM(t *testing.T) {
	d := use(t)
	pod := d.RunPod(t)
	group := map[string]string{"memory.oom.group": "1"}
	const child = "memhog; echo child $?; exit 3"
	for name, c := range map[string]struct {
		script  string
		unified map[string]string
		code    int32
		reason  string
	}{
		"the first process":            {"exec memhog", nil, 137, "OOMKilled"},
		"a child, the container fails": {child, nil, 3, "OOMKilled"},
		"a child, the container lives": {"memhog; exit 0", nil, 0, "Completed"},
		"a child, all go with it":      {child, group, 137, "OOMKilled"},
		"nothing, it only fails":       {"exit 3", group, 3, "Error"},
	} {
		t.Run(name, func(t *testing.T) {
			c2 := pod.RunWith(t, daemon.WithImage(images.Tools), daemon.WithShell(c.script),
				withResources(&resources{MemoryLimitInBytes: 20 << 20, Unified: c.unified}))
			if status := c2.WaitExited(t); status.GetExitCode() != c.code || status.GetReason() != c.reason {
				t.Errorf("ended with %d, %s, want %d, %s", status.GetExitCode(), status.GetReason(), c.code, c.reason)
			}
		})
	}
}

// TestExitCodes ends containers in other ways.
func TestExitCodes(t *testing.T) {
	pod := use(t).RunPod(t)
	for script, want := range map[string]struct {
		code   int32
		reason string
	}{
		"exit 0":                         {0, "Completed"},
		"exit 42":                        {42, "Error"},
		"sh -c 'kill -SEGV $$'; exit $?": {139, "Error"},
		"trap 'exit 5' TERM; kill $$":    {5, "Error"},
	} {
		c := pod.RunWith(t, daemon.WithShell(script))
		if status := c.WaitExited(t); status.GetExitCode() != want.code || status.GetReason() != want.reason {
			t.Errorf("%s: ended with %d, %s", script, status.GetExitCode(), status.GetReason())
		}
	}
}
