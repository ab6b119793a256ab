package faults

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
)

// berthd runs a command of berthd on the daemon's instance.
func berthd(t *testing.T, d *daemon.Daemon, args ...string) (string, error) {
	t.Helper()
	args = append(args, "--config", filepath.Join(d.Dir, "config.toml"), "--root", d.Configuration.Root, "--state", d.Configuration.State)
	out, err := exec.Command(filepath.Join(d.BinDir, "berthd"), args...).CombinedOutput()
	return string(out), err
}

// leakedPods is the metric of pod directories that no record knows, which raises an alert.
func leakedPods(t *testing.T, address string) (line string) {
	t.Helper()
	daemon.Eventually(t, "the metrics to count what is left", func() bool {
		resp, err := http.Get("http://" + address + "/metrics")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		for l := range strings.Lines(string(text)) {
			if strings.HasPrefix(l, "berth_leaked_objects") && strings.Contains(l, "pod-directory") {
				line = strings.TrimSpace(l)
			}
		}
		return line != ""
	})
	return line
}

// TestGiveUpDel: a DEL that fails is listed with its age, which restarts do not change, and with the plugins that it
// keeps from theirs; it is no leak; one command gives it up, after a DEL of those other plugins, and nothing is tried
// any more, after a restart either.
func TestGiveUpDel(t *testing.T) {
	address := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	d := launchFaultyNetwork(t, daemon.Options{Config: fmt.Sprintf("[metrics]\naddress = %q\n", address)})
	d.CheckLeaks(t)
	pod := d.RunPod(t)
	d.order(t, "DEL fail")
	pod.Remove(t)
	first := debts(t, d.Daemon)
	both := []string{"faulty/bridge", "faulty/faulty"}
	if len(first) != 1 || first[0].PodID != pod.ID || !slices.Equal(first[0].Plugins, both) || first[0].Since.IsZero() {
		t.Fatalf("owed: %+v", first)
	}
	if line := leakedPods(t, address); !strings.HasSuffix(line, " 0") {
		t.Errorf("a pod whose DEL is owed counts as a leak: %s", line)
	}
	d.Kill(t)
	d.Start(t)
	daemon.Eventually(t, "an attempt of the new daemon", func() bool { again := debts(t, d.Daemon); return len(again) == 1 && again[0].Attempts > 0 })
	again := debts(t, d.Daemon)
	if !again[0].Since.Equal(first[0].Since) || again[0].Name != pod.Config.GetMetadata().GetName() || again[0].LastError == "" {
		t.Errorf("after a restart: %+v, before: %+v", again, first)
	}
	if out, err := berthd(t, d.Daemon, "cni", "owed"); err != nil || !strings.Contains(out, pod.ID) || !strings.Contains(out, "faulty/faulty") {
		t.Errorf("berthd cni owed: %v\n%s", err, out)
	}
	if out, err := berthd(t, d.Daemon, "cni", "give-up", strings.Repeat("0", 64)); err == nil || !strings.Contains(out, "no CNI DEL is owed") {
		t.Errorf("giving up what is not owed: %v\n%s", err, out)
	}
	if out, err := berthd(t, d.Daemon, "cni", "give-up", pod.ID); err != nil || !strings.HasSuffix(out, "stays: faulty/faulty\n") {
		t.Errorf("berthd cni give-up: %v\n%s", err, out)
	}
	for range 2 {
		if left := debts(t, d.Daemon); len(left) != 0 {
			t.Errorf("still owed: %+v", left)
		}
		d.Kill(t)
		d.Start(t)
	}
	if _, err := os.Stat(d.Configuration.Paths().Pod(pod.ID)); !os.IsNotExist(err) {
		t.Errorf("the pod's directory is left: %v", err)
	}
	d.order(t)
}

// freePort is one that nobody listens at.
func freePort(t *testing.T) int32 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return int32(l.Addr().(*net.TCPAddr).Port)
}

// TestOwedPort: a host port stays with a pod that is gone while its DEL is owed, since packets may still be sent on to
// where the pod was. Then the next pod can have it.
func TestOwedPort(t *testing.T) {
	d := launchFaultyNetwork(t, daemon.Options{})
	d.CheckLeaks(t)
	port := freePort(t)
	publishing := daemon.WithPod(func(c *runtimeapi.PodSandboxConfig) {
		c.PortMappings = []*runtimeapi.PortMapping{{ContainerPort: 80, HostPort: port}}
	})
	pod := d.RunPod(t, publishing)
	d.order(t, "DEL fail")
	pod.Remove(t)
	_, err := d.Runtime.RunPodSandbox(daemon.Context(t), d.PodRequest(t, publishing))
	if err == nil || !strings.Contains(err.Error(), fmt.Sprint(port)) || !strings.Contains(err.Error(), "give-up "+pod.ID) {
		t.Errorf("the port of a pod whose DEL is owed: %v", err)
	}
	d.order(t)
	daemon.Eventually(t, "the DEL done", func() bool { return owed(t, d.Daemon) == 0 })
	d.RunPod(t, publishing).Remove(t)
}
