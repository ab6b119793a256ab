package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func testReady(t *testing.T, k *Kubelet) {
	pod := awaitPod(t, k, "web", "to be ready", func(p *Pod) string {
		if !p.Ready() {
			return "it is not ready"
		}
		return ""
	})
	prepare := pod.Container("prepare").State.Terminated
	if prepare == nil || prepare.ExitCode != 0 || prepare.Reason != "Completed" {
		t.Errorf("the init container ended as %+v, want Completed with 0", prepare)
	}
	if sidecar := pod.Container("sidecar"); sidecar.State.Running == nil {
		t.Errorf("the sidecar's state is %+v, want running", sidecar.State)
	}
	if len(pod.Status.PodIPs) == 0 {
		t.Error("the pod has no IP address")
	}
}

func testHostPort(t *testing.T, k *Kubelet) {
	await(t, k, "the host port to answer", func(ctx context.Context) error {
		return get(ctx, "http://127.0.0.1:12480/")
	})
}

func get(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK || !strings.Contains(string(body), "to web-"+nodeName) {
		return fmt.Errorf("%s answers %s: %s", url, resp.Status, body)
	}
	return nil
}

func testLogs(t *testing.T, k *Kubelet) {
	ctx := t.Context()
	for container, want := range map[string]string{
		"prepare": "init is done\n", "sidecar": "sidecar is up\n", "tools": "tools are up\nline 1\n",
	} {
		logs, err := k.Logs(ctx, "web", container, "")
		if err != nil || !strings.HasPrefix(logs, want) {
			t.Errorf("logs of %s are %q (%v), want %q first", container, logs, err, want)
		}
	}
	tail, err := k.Logs(ctx, "web", "tools", "tailLines=1&timestamps=true")
	if err != nil || !regexp.MustCompile(`^\d{4}-\S+Z line \d+\n$`).MatchString(tail) {
		t.Errorf("the last log line with its time is %q (%v)", tail, err)
	}
}

func testExec(t *testing.T, k *Kubelet) {
	for name, test := range map[string]struct {
		input   string
		command []string
		out     string
		code    string
	}{
		"output":    {"", []string{"cat", "/shared/file"}, "from-init\n", "0"},
		"exit code": {"", []string{"sh", "-c", "exit 42"}, "", "42"},
		"input":     {"some input", []string{"cat"}, "some input", "0"},
		"large":     {"", []string{"sh", "-c", "dd if=/dev/zero bs=1000 count=1000 2>/dev/null | tr '\\0' x | wc -c"}, "1000000\n", "0"},
	} {
		t.Run(name, func(t *testing.T) {
			out, status, err := k.Exec(t.Context(), "web", "tools", test.input, test.command...)
			if err != nil || out != test.out || status.ExitCode() != test.code {
				t.Errorf("exec gave %q and exit code %s (%v), want %q and %s", out, status.ExitCode(), err, test.out, test.code)
			}
		})
	}
	// The pod's containers share the network, and the pod's address is in their environment.
	out, _, err := k.Exec(t.Context(), "web", "tools", "", "sh", "-c", "wget -qO- http://localhost/ && wget -qO- http://$POD_IP/")
	if err != nil || strings.Count(out, "Welcome") != 2 {
		t.Errorf("the web server seen from the other container: %q (%v)", out, err)
	}
}

func testDone(t *testing.T, k *Kubelet) {
	pod := awaitPod(t, k, "done", "to succeed", func(p *Pod) string {
		if p.Status.Phase != "Succeeded" {
			return "its phase is " + p.Status.Phase
		}
		return ""
	})
	if end := pod.Container("main").State.Terminated; end == nil || end.ExitCode != 0 || end.Reason != "Completed" {
		t.Errorf("the container ended as %+v, want Completed with 0", end)
	}
	if logs, err := k.Logs(t.Context(), "done", "main", ""); err != nil || logs != "all done\n" {
		t.Errorf("logs after the end are %q (%v)", logs, err)
	}
}

func testCrash(t *testing.T, k *Kubelet) {
	pod := awaitPod(t, k, "crash", "to be restarted", func(p *Pod) string {
		if c := p.Container("main"); c.RestartCount < 1 || c.LastState.Terminated == nil {
			return "it was not restarted"
		}
		return ""
	})
	end := pod.Container("main").LastState.Terminated
	if end.ExitCode != 3 || end.Reason != "Error" || end.Message != "out of luck\n" {
		t.Errorf("the container ended as %+v, want Error with 3 and its message", end)
	}
	await(t, k, "the logs of the crashed container", func(ctx context.Context) error {
		logs, err := k.Logs(ctx, "crash", "main", "previous=true")
		if err == nil && logs != "about to crash\n" {
			err = fmt.Errorf("they are %q", logs)
		}
		return err
	})
}

func testOOM(t *testing.T, k *Kubelet) {
	pod := awaitPod(t, k, "oom", "to fail", func(p *Pod) string {
		if p.Status.Phase != "Failed" {
			return "its phase is " + p.Status.Phase
		}
		return ""
	})
	if end := pod.Container("main").State.Terminated; end == nil || end.ExitCode != 137 || end.Reason != "OOMKilled" {
		t.Errorf("the container ended as %+v, want OOMKilled with 137", end)
	}
}

func testUnhealthy(t *testing.T, k *Kubelet) {
	awaitPod(t, k, "unhealthy", "to be restarted for its liveness probe", func(p *Pod) string {
		if p.Container("main").RestartCount < 1 {
			return "it was not restarted"
		}
		return ""
	})
}

func testStats(t *testing.T, k *Kubelet) {
	await(t, k, "the figures of pod web", func(ctx context.Context) error {
		s, err := k.Stats(ctx, "web")
		if err != nil {
			return err
		}
		switch {
		case s.Network == nil || s.Network.RxBytes == 0 || s.Network.TxBytes == 0:
			return fmt.Errorf("no network figures: %+v", s.Network)
		case s.CPU == nil || s.CPU.UsageCoreNanoSeconds == 0:
			return fmt.Errorf("no CPU figures: %+v", s.CPU)
		case s.Memory == nil || s.Memory.WorkingSetBytes == 0:
			return fmt.Errorf("no memory figures: %+v", s.Memory)
		}
		seen := map[string]bool{}
		for _, c := range s.Containers {
			if c.CPU == nil || c.CPU.UsageCoreNanoSeconds == 0 || c.Memory == nil || c.Memory.WorkingSetBytes == 0 || c.Rootfs == nil {
				return fmt.Errorf("no figures of container %s: %+v", c.Name, c)
			}
			seen[c.Name] = true
		}
		if !seen["server"] || !seen["tools"] || !seen["sidecar"] {
			return fmt.Errorf("figures of %v only", seen)
		}
		return nil
	})
}

// testRuntimeCrash checks that the kubelet finds the same running containers again when
// the runtime was killed.
func testRuntimeCrash(t *testing.T, k *Kubelet, r *runtime) {
	if r.crash == nil {
		t.Skip("containerd as the reference is not killed")
	}
	before, err := k.Pod(t.Context(), "web")
	if err != nil {
		t.Fatal(err)
	}
	r.crash(t)
	await(t, k, "exec to work again", func(ctx context.Context) error {
		out, _, err := k.Exec(ctx, "web", "tools", "", "cat", "/shared/file")
		if err == nil && out != "from-init\n" {
			err = fmt.Errorf("its output is %q", out)
		}
		return err
	})
	after := awaitPod(t, k, "web", "to be ready", func(p *Pod) string {
		if !p.Ready() {
			return "it is not ready"
		}
		return ""
	})
	for _, name := range []string{"server", "tools", "sidecar"} {
		was, is := before.Container(name), after.Container(name)
		if is.ContainerID != was.ContainerID || is.RestartCount != was.RestartCount {
			t.Errorf("container %s is %+v, was %+v before the crash", name, is, was)
		}
	}
	if before.Status.PodIP != after.Status.PodIP {
		t.Errorf("the pod's address is %s, was %s", after.Status.PodIP, before.Status.PodIP)
	}
}

// testRemoval checks that nothing of the pods is left once their manifests are gone.
// The kubelet removes sandboxes in its garbage collection, once a minute.
func testRemoval(t *testing.T, k *Kubelet, r *runtime) {
	await(t, k, "the pods to be gone", func(ctx context.Context) error {
		pods, err := k.Pods(ctx)
		if err != nil {
			return err
		}
		if len(pods) > 0 {
			return fmt.Errorf("the kubelet still has %d", len(pods))
		}
		if out := r.crictl(ctx, "pods", "-q"); out != "" {
			return fmt.Errorf("the runtime still has %s", out)
		}
		logs, err := filepath.Glob(filepath.Join(k.LogDir, "*"))
		if err != nil || len(logs) > 0 {
			return fmt.Errorf("log directories are left: %v (%v)", logs, err)
		}
		return nil
	})
	if err := get(t.Context(), "http://127.0.0.1:12480/"); err == nil {
		t.Error("the host port still answers")
	}
	if out := r.crictl(t.Context(), "ps", "-a", "-q"); out != "" {
		t.Errorf("the runtime still has the containers %s", out)
	}
	left, _ := filepath.Glob(filepath.Join(cgroupMount, "*", k.CgroupRoot, "kubepods", "*", "pod*"))
	v2, _ := filepath.Glob(filepath.Join(cgroupMount, k.CgroupRoot, "kubepods", "*", "pod*"))
	for _, dir := range append(left, v2...) {
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("the pod's cgroup %s is left", dir)
		}
	}
}
