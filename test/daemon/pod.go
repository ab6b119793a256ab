package daemon

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Pod is a pod that a test has run.
type Pod struct {
	ID     string
	Config *runtimeapi.PodSandboxConfig

	d       *Daemon
	attempt uint32
}

// PodOption changes the request for a pod.
type PodOption func(*runtimeapi.RunPodSandboxRequest)

// WithHandler makes the pod one of a runtime handler.
func WithHandler(name string) PodOption {
	return func(r *runtimeapi.RunPodSandboxRequest) { r.RuntimeHandler = name }
}

// WithPod changes the configuration of the pod.
func WithPod(change func(*runtimeapi.PodSandboxConfig)) PodOption {
	return func(r *runtimeapi.RunPodSandboxRequest) { change(r.Config) }
}

// WithNamespaces sets the namespace modes of the pod: NODE or POD for network and IPC,
// also CONTAINER for PID.
func WithNamespaces(network, ipc, pid runtimeapi.NamespaceMode) PodOption {
	return WithPod(func(c *runtimeapi.PodSandboxConfig) {
		c.Linux.SecurityContext.NamespaceOptions = &runtimeapi.NamespaceOption{Network: network, Ipc: ipc, Pid: pid}
	})
}

var notName = regexp.MustCompile(`[^a-z0-9]+`)

// podName is a name for a pod of this test that no other pod has.
func (d *Daemon) podName(t testing.TB) string {
	name := notName.ReplaceAllString(strings.ToLower(t.Name()), "-")
	return fmt.Sprintf("%s-%d", strings.Trim(name[max(0, len(name)-40):], "-"), d.pods.Add(1))
}

// PodRequest is the request for a pod that differs from every other; as the kubelet
// does, it asks for a PID namespace per container.
func (d *Daemon) PodRequest(t testing.TB, opts ...PodOption) *runtimeapi.RunPodSandboxRequest {
	t.Helper()
	name := d.podName(t)
	r := &runtimeapi.RunPodSandboxRequest{Config: &runtimeapi.PodSandboxConfig{
		Metadata:     &runtimeapi.PodSandboxMetadata{Name: name, Namespace: "test", Uid: "uid-" + name},
		Hostname:     "berth-test",
		LogDirectory: filepath.Join(d.Dir, "logs", name),
		Labels:       map[string]string{"test": name},
		Linux: &runtimeapi.LinuxPodSandboxConfig{SecurityContext: &runtimeapi.LinuxSandboxSecurityContext{
			NamespaceOptions: &runtimeapi.NamespaceOption{Pid: runtimeapi.NamespaceMode_CONTAINER},
		}},
	}}
	for _, opt := range opts {
		opt(r)
	}
	if dir := r.Config.LogDirectory; dir != "" {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// RunPod runs a pod, which is removed at the end of the test.
func (d *Daemon) RunPod(t testing.TB, opts ...PodOption) *Pod {
	t.Helper()
	return d.RunPodRequest(t, d.PodRequest(t, opts...))
}

// RunPodRequest runs the pod of a request, which is removed at the end of the test.
func (d *Daemon) RunPodRequest(t testing.TB, r *runtimeapi.RunPodSandboxRequest) *Pod {
	t.Helper()
	resp, err := d.Runtime.RunPodSandbox(Context(t), r)
	if err != nil {
		t.Fatalf("RunPodSandbox: %v", err)
	}
	p := &Pod{ID: resp.GetPodSandboxId(), Config: r.GetConfig(), d: d}
	t.Cleanup(func() { p.Remove(t) })
	return p
}

// Status of the pod.
func (p *Pod) Status(t testing.TB) *runtimeapi.PodSandboxStatus {
	t.Helper()
	resp, err := p.d.Runtime.PodSandboxStatus(Context(t), &runtimeapi.PodSandboxStatusRequest{PodSandboxId: p.ID})
	if err != nil {
		t.Fatalf("PodSandboxStatus: %v", err)
	}
	return resp.GetStatus()
}

// IP is the pod's primary address.
func (p *Pod) IP(t testing.TB) string {
	t.Helper()
	return p.Status(t).GetNetwork().GetIp()
}

// Stop stops the pod.
func (p *Pod) Stop(t testing.TB) {
	t.Helper()
	if _, err := p.d.Runtime.StopPodSandbox(Context(t), &runtimeapi.StopPodSandboxRequest{PodSandboxId: p.ID}); err != nil {
		t.Errorf("StopPodSandbox: %v", err)
	}
}

// Remove stops and removes the pod; one that is gone already is no error.
func (p *Pod) Remove(t testing.TB) {
	t.Helper()
	p.Stop(t)
	if _, err := p.d.Runtime.RemovePodSandbox(Context(t), &runtimeapi.RemovePodSandboxRequest{PodSandboxId: p.ID}); err != nil {
		t.Errorf("RemovePodSandbox: %v", err)
	}
}

// Init is the PID of the pod's own process, process 1 of its shared PID namespace.
func (p *Pod) Init(t testing.TB) int {
	t.Helper()
	resp, err := p.d.Runtime.PodSandboxStatus(Context(t), &runtimeapi.PodSandboxStatusRequest{PodSandboxId: p.ID, Verbose: true})
	if err != nil {
		t.Fatalf("PodSandboxStatus: %v", err)
	}
	var info struct{ Pid int }
	if err := json.Unmarshal([]byte(resp.GetInfo()["info"]), &info); err != nil {
		t.Fatal(err)
	}
	if info.Pid == 0 {
		t.Fatal("the pod has no process of its own")
	}
	return info.Pid
}
