package integration

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/containerd/cgroups/v3/cgroup1/stats"
	v2 "github.com/containerd/cgroups/v3/cgroup2/stats"

	"github.com/berth-run/berth/test/daemon"
	"github.com/berth-run/berth/test/images"
)

// TestCtr looks at pods and images with containerd's own client.
func TestCtr(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		c := d.RunPod(t).Run(t)
		ctr := func(args ...string) string {
			t.Helper()
			args = append([]string{"--address", d.ContainerdSocket(), "--namespace", "k8s.io"}, args...)
			out, err := exec.Command(filepath.Join(d.BinDir, "ctr"), args...).CombinedOutput()
			if err != nil {
				t.Fatalf("ctr %q: %v\n%s", args, err, out)
			}
			return string(out)
		}
		if out := ctr("containers", "ls"); !strings.Contains(out, c.ID) || !strings.Contains(out, images.Busybox) {
			t.Errorf("containers\n%s", out)
		}
		if out := ctr("tasks", "ls"); !strings.Contains(out, c.ID) || !strings.Contains(out, "RUNNING") {
			t.Errorf("tasks\n%s", out)
		}
		if out := ctr("images", "ls"); !strings.Contains(out, images.Busybox) {
			t.Errorf("images\n%s", out)
		}
		if out := ctr("snapshots", "ls"); !strings.Contains(out, c.ID) {
			t.Errorf("snapshots\n%s", out)
		}
		// The form in which nerdctl and agents look for a container's log.
		var info struct {
			Labels     map[string]string
			Extensions map[string]struct {
				TypeURL string `json:"type_url"`
				Value   []byte
			}
		}
		var metadata struct {
			Version  string
			Metadata struct{ ID, SandboxID, LogPath string }
		}
		out := ctr("containers", "info", c.ID)
		if err := json.Unmarshal([]byte(out[strings.Index(out, "{"):]), &info); err != nil { // warnings come first
			t.Fatalf("%v\n%s", err, out)
		}
		ext := info.Extensions["io.cri-containerd.container.metadata"]
		if err := json.Unmarshal(ext.Value, &metadata); err != nil || metadata.Version != "v1" || metadata.Metadata.ID != c.ID ||
			metadata.Metadata.SandboxID != c.Pod.ID || metadata.Metadata.LogPath != c.Status(t).GetLogPath() {
			t.Errorf("metadata for other tools: %v, %+v\n%s", err, metadata, out)
		}
		// A CRI plugin of an external containerd takes over each "container".
		if kind := info.Labels["io.cri-containerd.kind"]; kind == "" || (kind == "container") == d.External {
			t.Errorf("the container's kind is %q, with an external containerd: %t", kind, d.External)
		}
		if out := ctr("tasks", "exec", "--exec-id", "by-ctr", c.ID, "hostname"); !strings.Contains(out, "berth-test") {
			t.Errorf("exec\n%s", out)
		}
		checkTaskMetrics(t, ctr("tasks", "metrics", "--format", "json", c.ID))
		if out := ctr("tasks", "metrics", c.ID); !strings.Contains(out, "pids.current") {
			t.Errorf("metrics\n%s", out)
		}
	})
}

// checkTaskMetrics looks into what `ctr tasks metrics` decoded as `nerdctl stats` does, which asks no message whether
// it is there.
func checkTaskMetrics(t *testing.T, out string) {
	t.Helper()
	out = out[max(strings.Index(out, "{"), 0):] // ctr may warn first
	if strings.Contains(out, "usage_usec") {
		var m v2.Metrics
		if err := json.Unmarshal([]byte(out), &m); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if m.Io == nil || m.Pids == nil || m.CPU.GetUsageUsec() == 0 || m.Memory.GetUsage() == 0 || m.Memory.GetUsageLimit() == 0 {
			t.Errorf("metrics\n%s", out)
		}
		return
	}
	var m v1.Metrics
	if err := json.Unmarshal([]byte(out), &m); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if m.Blkio == nil || m.Pids == nil || m.CPU.GetUsage().GetTotal() == 0 || len(m.CPU.Usage.PerCPU) == 0 ||
		m.Memory.GetUsage().GetUsage() == 0 || m.Memory.Usage.Limit == 0 {
		t.Errorf("metrics\n%s", out)
	}
}

// TestCtrRun: containerd's client runs containers of its own on Berth's containerd, whose shim and runc nobody
// has in PATH.
func TestCtrRun(t *testing.T) {
	embedded(t, func(t *testing.T, d *daemon.Daemon) {
		args := []string{"--address", d.ContainerdSocket(), "--namespace", "k8s.io", "run", "--rm", images.Busybox, "by-ctr", "echo", "it runs"}
		out, err := exec.Command(filepath.Join(d.BinDir, "ctr"), args...).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "it runs") {
			t.Errorf("%v\n%s", err, out)
		}
	})
}
