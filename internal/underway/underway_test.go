package underway

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-run/berth/internal/flight"
)

func TestHanging(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var pods, ctrs flight.Group
		id := strings.Repeat("a1", 32)
		stopped, _ := ctrs.Track("stop/"+id, "StopContainer of container other", 1)
		stopped.SetStage("grace")
		command, _ := ctrs.Track("exec/1", "a command in container other", 1)
		command.SetStage("wait")
		started, end := ctrs.Track("start/"+id, "StartContainer of container web (attempt 0) of pod default/web", 1)
		started.SetStage("create")
		time.Sleep(Patience / 2)
		_, endRun := pods.Track("uid/default/late/0", "RunPodSandbox of pod default/late (attempt 0)", 2)
		if got := Hanging(&pods, &ctrs); len(got) != 0 {
			t.Errorf("too early: %v", got)
		}
		time.Sleep(Patience * 3 / 4)
		got := Hanging(&pods, &ctrs)
		if len(got) != 1 {
			t.Fatalf("%v", got)
		}
		if o := got[0]; o.ID != id || o.Stage != "create" || o.Callers != 1 || o.Seconds != 12 {
			t.Errorf("%+v", o)
		}
		want := "StartContainer of container web (attempt 0) of pod default/web, for 12s, in stage create: waits for the OCI runtime"
		if line := got[0].String(); !strings.HasPrefix(line, want) {
			t.Errorf("%s", line)
		}
		time.Sleep(Patience)
		if got := Hanging(&pods, &ctrs); len(got) != 2 || got[1].Name != "RunPodSandbox" || got[1].ID != "" || got[1].Callers != 2 {
			t.Errorf("%v", got)
		}
		end()
		endRun()
		if got := Hanging(&pods, &ctrs); len(got) != 0 {
			t.Errorf("ended: %v", got)
		}
	})
}
