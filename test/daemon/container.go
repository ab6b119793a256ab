package daemon

import (
	"encoding/json"
	"fmt"
	"testing"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/images"
)

// Container is a container that a test has made.
type Container struct {
	ID     string
	Config *runtimeapi.ContainerConfig
	Pod    *Pod

	d *Daemon
}

// ContainerOption changes the configuration of a container.
type ContainerOption func(*runtimeapi.ContainerConfig)

// WithImage makes the container one of another image than Busybox.
func WithImage(name string) ContainerOption {
	return func(c *runtimeapi.ContainerConfig) { c.Image = &runtimeapi.ImageSpec{Image: name} }
}

// WithCommand sets the command.
func WithCommand(command ...string) ContainerOption {
	return func(c *runtimeapi.ContainerConfig) { c.Command = command }
}

// WithShell makes the container run a shell script.
func WithShell(script string) ContainerOption { return WithCommand("sh", "-c", script) }

// Pull pulls an image, unless it is there.
func (d *Daemon) Pull(t testing.TB, image string) string {
	t.Helper()
	spec := &runtimeapi.ImageSpec{Image: image}
	status, err := d.Image.ImageStatus(Context(t), &runtimeapi.ImageStatusRequest{Image: spec})
	if err != nil {
		t.Fatalf("ImageStatus of %s: %v", image, err)
	}
	if status.GetImage() != nil {
		return status.GetImage().GetId()
	}
	resp, err := d.Image.PullImage(Context(t), &runtimeapi.PullImageRequest{Image: spec})
	if err != nil {
		t.Fatalf("PullImage of %s: %v", image, err)
	}
	return resp.GetImageRef()
}

// CreateRequest is the request for another container of the pod: a busybox that
// sleeps, unless options say otherwise.
func (p *Pod) CreateRequest(opts ...ContainerOption) *runtimeapi.CreateContainerRequest {
	p.attempt++
	name := fmt.Sprintf("c%d", p.attempt)
	config := &runtimeapi.ContainerConfig{
		Metadata: &runtimeapi.ContainerMetadata{Name: name},
		Image:    &runtimeapi.ImageSpec{Image: images.Busybox},
		Command:  []string{"sleep", "1000"},
		LogPath:  name + ".log",
		Linux: &runtimeapi.LinuxContainerConfig{SecurityContext: &runtimeapi.LinuxContainerSecurityContext{
			NamespaceOptions: p.Config.GetLinux().GetSecurityContext().GetNamespaceOptions(),
		}},
	}
	for _, opt := range opts {
		opt(config)
	}
	return &runtimeapi.CreateContainerRequest{PodSandboxId: p.ID, Config: config, SandboxConfig: p.Config}
}

// Create makes a container without starting it, pulling its image where needed. It
// goes with the pod.
func (p *Pod) Create(t testing.TB, opts ...ContainerOption) *Container {
	t.Helper()
	return p.CreateFrom(t, p.CreateRequest(opts...))
}

// CreateFrom makes the container of a request.
func (p *Pod) CreateFrom(t testing.TB, r *runtimeapi.CreateContainerRequest) *Container {
	t.Helper()
	p.d.Pull(t, r.GetConfig().GetImage().GetImage())
	resp, err := p.d.Runtime.CreateContainer(Context(t), r)
	if err != nil {
		t.Fatalf("CreateContainer: %v", err)
	}
	return &Container{ID: resp.GetContainerId(), Config: r.GetConfig(), Pod: p, d: p.d}
}

// Run makes and starts a container of busybox with this command; without one it sleeps.
func (p *Pod) Run(t testing.TB, command ...string) *Container {
	t.Helper()
	if len(command) == 0 {
		return p.RunWith(t)
	}
	return p.RunWith(t, WithCommand(command...))
}

// RunWith makes and starts a container.
func (p *Pod) RunWith(t testing.TB, opts ...ContainerOption) *Container {
	t.Helper()
	c := p.Create(t, opts...)
	c.Start(t)
	return c
}

// Start starts the container.
func (c *Container) Start(t testing.TB) {
	t.Helper()
	if _, err := c.d.Runtime.StartContainer(Context(t), &runtimeapi.StartContainerRequest{ContainerId: c.ID}); err != nil {
		t.Fatalf("StartContainer: %v", err)
	}
}

// Stop stops the container with this many seconds of grace.
func (c *Container) Stop(t testing.TB, grace int64) {
	t.Helper()
	_, err := c.d.Runtime.StopContainer(Context(t), &runtimeapi.StopContainerRequest{ContainerId: c.ID, Timeout: grace})
	if err != nil {
		t.Fatalf("StopContainer: %v", err)
	}
}

// Remove removes the container.
func (c *Container) Remove(t testing.TB) {
	t.Helper()
	if _, err := c.d.Runtime.RemoveContainer(Context(t), &runtimeapi.RemoveContainerRequest{ContainerId: c.ID}); err != nil {
		t.Fatalf("RemoveContainer: %v", err)
	}
}

// Status of the container.
func (c *Container) Status(t testing.TB) *runtimeapi.ContainerStatus {
	t.Helper()
	resp, err := c.d.Runtime.ContainerStatus(Context(t), &runtimeapi.ContainerStatusRequest{ContainerId: c.ID})
	if err != nil {
		t.Fatalf("ContainerStatus: %v", err)
	}
	return resp.GetStatus()
}

// State of the container.
func (c *Container) State(t testing.TB) runtimeapi.ContainerState {
	t.Helper()
	return c.Status(t).GetState()
}

// PIDOf is the PID of a container's first process.
func (d *Daemon) PIDOf(t testing.TB, containerID string) int {
	t.Helper()
	resp, err := d.Runtime.ContainerStatus(Context(t), &runtimeapi.ContainerStatusRequest{ContainerId: containerID, Verbose: true})
	if err != nil {
		t.Fatal(err)
	}
	var info struct{ Pid int }
	if err := json.Unmarshal([]byte(resp.GetInfo()["info"]), &info); err != nil {
		t.Fatal(err)
	}
	return info.Pid
}

// ExecSync runs a command in the container, for 30 seconds at most.
func (c *Container) ExecSync(t testing.TB, command ...string) *runtimeapi.ExecSyncResponse {
	t.Helper()
	resp, err := c.d.Runtime.ExecSync(Context(t), &runtimeapi.ExecSyncRequest{ContainerId: c.ID, Cmd: command, Timeout: 30})
	if err != nil {
		t.Fatalf("ExecSync of %q: %v", command, err)
	}
	return resp
}

// Output is what a shell script prints in the container; it has to succeed.
func (c *Container) Output(t testing.TB, script string) string {
	t.Helper()
	resp := c.ExecSync(t, "sh", "-c", script)
	if resp.GetExitCode() != 0 {
		t.Fatalf("%s: exit code %d, stderr %q", script, resp.GetExitCode(), resp.GetStderr())
	}
	return string(resp.GetStdout())
}

// Adopt makes a Container of one that was made by other means.
func (p *Pod) Adopt(id string, config *runtimeapi.ContainerConfig) *Container {
	return &Container{ID: id, Config: config, Pod: p, d: p.d}
}
