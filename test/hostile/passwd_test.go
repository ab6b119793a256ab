package hostile

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
	"github.com/berth-run/berth/test/images"
)

// TestPasswdIsFIFO: in a container whose /etc/passwd is a FIFO, the OCI runtime waits for ever to begin a command. No
// process of it is left once the callers have gone, as after a probe's timeout, or once the daemon was killed.
func TestPasswdIsFIFO(t *testing.T) {
	d := target(t)
	c := d.RunPod(t).RunWith(t, daemon.WithImage(images.Tools), asKubelet)
	c.Output(t, "rm -f /etc/passwd /etc/group; mkfifo /etc/passwd /etc/group")
	probe := func(ctx context.Context, timeout int64) {
		_, err := d.Runtime.ExecSync(ctx, &runtimeapi.ExecSyncRequest{ContainerId: c.ID, Cmd: []string{"true"}, Timeout: timeout})
		if err == nil {
			t.Error("the OCI runtime did not wait for the FIFO: the test tests nothing")
		}
	}
	var probes sync.WaitGroup
	for range 5 {
		probes.Go(func() { probe(daemon.Context(t), 1) })
	}
	probes.Wait()
	daemon.Eventually(t, "gone: what begins commands in the container", func() bool { return len(beginning(t, c.ID)) == 0 })

	ctx, leave := context.WithTimeout(daemon.Context(t), time.Minute)
	defer leave()
	probes.Go(func() { probe(ctx, 0) })
	daemon.Eventually(t, "begun: a command", func() bool { return len(beginning(t, c.ID)) > 0 })
	d.Kill(t)
	probes.Wait()
	<-d.Exited()
	d.Start(t)
	daemon.Eventually(t, "gone: what begins the command of the former daemon's caller", func() bool { return len(beginning(t, c.ID)) == 0 })
	c.Stop(t, 0)
}

// beginning are the processes of the OCI runtime that begin a command in a container, outside of it.
func beginning(t *testing.T, container string) (found []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		line, _ := os.ReadFile(file) // it may have ended
		if bytes.HasPrefix(line, []byte("runc\x00")) && bytes.Contains(line, []byte("\x00exec\x00")) && bytes.Contains(line, []byte(container)) {
			found = append(found, fmt.Sprintf("%s %q", file, line))
		}
	}
	return found
}
