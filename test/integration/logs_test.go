package integration

import (
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
)

func TestLogStreams(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		pod := d.RunPod(t)
		c := pod.RunWith(t, daemon.WithShell(`i=0; while [ $i -lt 5000 ]; do i=$((i+1)); echo "out $i"; echo "err $i" >&2; done`))
		c.WaitExited(t)
		for stream, word := range map[string]string{"stdout": "out", "stderr": "err"} {
			var want strings.Builder
			for i := 1; i <= 5000; i++ {
				want.WriteString(word + " " + itoa(i) + "\n")
			}
			if got := c.LogText(t, stream); got != want.String() {
				t.Errorf("%s: %d bytes, want %d", stream, len(got), want.Len())
			}
		}
		last := time.Time{}
		for _, line := range c.Log(t) {
			if line.Time.Before(last.Add(-time.Second)) {
				t.Fatalf("%s after %s", line.Time, last)
			}
			last = line.Time
		}
	})
}

// TestLogLines writes lines that are long, empty, without an end, and no text at all.
func TestLogLines(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		pod := d.RunPod(t)
		const long = 100_000
		c := pod.RunWith(t, daemon.WithShell(`printf '%`+itoa(long)+`s\n' x; echo; printf '\000\001\377 \r\n'; printf 'no end'`))
		c.WaitExited(t)
		lines := c.Log(t)
		limit := d.Configuration.Container.MaxLogLineSize
		parts, size := 0, 0
		for _, line := range lines {
			if len(line.Text) > limit {
				t.Errorf("an entry of %d bytes, the limit is %d", len(line.Text), limit)
			}
			if parts++; line.Partial {
				size += len(line.Text)
				continue
			}
			size += len(line.Text)
			break
		}
		if size != long || parts != (long+limit-1)/limit {
			t.Errorf("the long line: %d bytes in %d entries", size, parts)
		}
		rest := lines[parts:]
		if len(rest) != 3 || rest[0].Text != "" || rest[1].Text != "\x00\x01\xff \r" || rest[2].Text != "no end" {
			t.Errorf("other lines: %+q", []string{rest[0].Text, rest[len(rest)-1].Text})
		}
	})
}

// TestLogTTY has a terminal, whose output is stdout alone. (The OCI runtime makes it leave
// the ends of lines as they are.)
func TestLogTTY(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		pod := d.RunPod(t)
		c := pod.RunWith(t, daemon.WithShell("echo out; echo err >&2; test -t 0 && test -t 1 && echo terminal"),
			func(c *runtimeapi.ContainerConfig) { c.Tty = true })
		c.WaitExited(t)
		if out, err := c.LogText(t, "stdout"), c.LogText(t, "stderr"); out != "out\nerr\nterminal\n" || err != "" {
			t.Errorf("stdout %q, stderr %q", out, err)
		}
	})
}

// TestLogRotation renames the log of a container that writes all the while, and has it
// reopened, as the kubelet does.
func TestLogRotation(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		pod := d.RunPod(t)
		c := pod.RunWith(t, daemon.WithShell(numbered))
		var files []string
		for n := range 10 {
			c.WaitLog(t, "line ") // in the new file
			rotated := c.LogPath() + "." + itoa(n)
			if err := os.Rename(c.LogPath(), rotated); err != nil {
				t.Fatal(err)
			}
			if _, err := d.Runtime.ReopenContainerLog(daemon.Context(t), &runtimeapi.ReopenContainerLogRequest{ContainerId: c.ID}); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(c.LogPath()); err != nil {
				t.Fatalf("after ReopenContainerLog: %v", err)
			}
			files = append(files, rotated)
		}
		c.Stop(t, 10)
		c.WaitExited(t)
		var all []daemon.LogLine
		for _, file := range append(files, c.LogPath()) {
			lines, err := daemon.ReadLog(file)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, lines...)
		}
		checkNumbered(t, daemon.JoinLog(all, "stdout"))
	})
}

// TestLogNone has no log path, and no log directory.
func TestLogNone(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		pod := d.RunPod(t, daemon.WithPod(func(c *runtimeapi.PodSandboxConfig) { c.LogDirectory = "" }))
		c := pod.RunWith(t, logPath(""), daemon.WithShell("yes | head -c 1000000; exit 4"))
		if status := c.WaitExited(t); status.GetExitCode() != 4 || status.GetLogPath() != "" {
			t.Errorf("%v", status)
		}
		running := pod.RunWith(t, logPath(""))
		_, err := d.Runtime.ReopenContainerLog(daemon.Context(t), &runtimeapi.ReopenContainerLogRequest{ContainerId: running.ID})
		wantCode(t, err, codes.FailedPrecondition, "log")
	})
}
