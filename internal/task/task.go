// Package task runs the processes of containers through containerd's task
// service, the same calls for the embedded and for an external containerd.
//
// It is deliberately thinner than containerd's client.Task: no call looks
// something up first, every call has a deadline of its own besides the caller's,
// and errors come back classified (errdefs).
package task

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types"
	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/typeurl/v2"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Observer is told about every call but Wait that begins, and by the function it returns
// that it has ended.
type Observer func(ctx context.Context, call string) (end func(error))

// Service is containerd's task service, bounded.
type Service struct {
	client  *containerd.Client
	timeout time.Duration
	observe Observer
}

// New makes a Service whose calls take at most timeout each, except Wait. observe may
// be nil.
func New(client *containerd.Client, timeout time.Duration, observe Observer) *Service {
	if observe == nil {
		observe = func(context.Context, string) func(error) { return func(error) {} }
	}
	return &Service{client: client, timeout: timeout, observe: observe}
}

// Stdio are the stream addresses of a process: FIFO paths, or what the shim
// understands otherwise.
type Stdio struct {
	Stdin, Stdout, Stderr string
	Terminal              bool
}

// CreateRequest describes a task to be created.
type CreateRequest struct {
	// ID of the container, whose record must exist.
	ID string
	// Rootfs is what the shim mounts as root file system; empty when the spec's
	// root path is absolute.
	Rootfs []mount.Mount
	// Stdio of the first process.
	Stdio Stdio
	// Options is the runtime's options message, nil for none.
	Options any
	// Endpoint is the Task API address of the pod's shim when that runs already,
	// in the form "ttrpc+unix:///path"; empty lets containerd start a shim.
	Endpoint string
	// EndpointVersion is the version of the Task API at Endpoint.
	EndpointVersion uint32
}

// Create creates the container's process without starting it and returns its
// pid in the host's PID namespace.
func (s *Service) Create(ctx context.Context, r CreateRequest) (_ uint32, err error) {
	req := &tasks.CreateTaskRequest{
		ContainerID:    r.ID,
		Rootfs:         mountsToProto(r.Rootfs),
		Stdin:          r.Stdio.Stdin,
		Stdout:         r.Stdio.Stdout,
		Stderr:         r.Stdio.Stderr,
		Terminal:       r.Stdio.Terminal,
		TaskApiAddress: r.Endpoint,
		TaskApiVersion: r.EndpointVersion,
	}
	if r.Options != nil {
		any, err := typeurl.MarshalAnyToProto(r.Options)
		if err != nil {
			return 0, fmt.Errorf("encode the runtime options of task %s: %w", r.ID, err)
		}
		req.Options = any
	}
	ctx, end := s.begin(ctx, "Create")
	defer func() { end(err) }()
	resp, err := s.client.TaskService().Create(ctx, req)
	if err = s.fail(ctx, "create the task", err); badUnified(err) {
		err = fmt.Errorf("%w: %w", err, errdefs.ErrInvalidArgument)
	}
	if err != nil {
		return 0, err
	}
	return resp.Pid, nil
}

// Start starts a created task, or with an execID a process added by Exec, and
// returns its pid.
func (s *Service) Start(ctx context.Context, id, execID string) (_ uint32, err error) {
	ctx, end := s.begin(ctx, "Start")
	defer func() { end(err) }()
	resp, err := s.client.TaskService().Start(ctx, &tasks.StartRequest{ContainerID: id, ExecID: execID})
	if err != nil {
		return 0, s.fail(ctx, "start the process", err)
	}
	return resp.Pid, nil
}

// Kill sends a signal to the first process, to a process added by Exec, or with
// all to every process of the container.
func (s *Service) Kill(ctx context.Context, id, execID string, signal uint32, all bool) (err error) {
	ctx, end := s.begin(ctx, "Kill")
	defer func() { end(err) }()
	_, err = s.client.TaskService().Kill(ctx, &tasks.KillRequest{
		ContainerID: id, ExecID: execID, Signal: signal, All: all,
	})
	return s.fail(ctx, "signal the process", err)
}

// Exit is how a process ended.
type Exit struct {
	Code uint32
	At   time.Time
}

// Wait blocks until the process has ended or ctx is done; it has no deadline of
// its own.
func (s *Service) Wait(ctx context.Context, id, execID string) (Exit, error) {
	ctx = namespaced(ctx)
	resp, err := s.client.TaskService().Wait(ctx, &tasks.WaitRequest{ContainerID: id, ExecID: execID})
	if err != nil {
		return Exit{}, s.fail(ctx, "wait for the process", err)
	}
	return Exit{Code: resp.ExitStatus, At: resp.ExitedAt.AsTime()}, nil
}

// Delete removes a task that has ended; one that is not there is no error.
func (s *Service) Delete(ctx context.Context, id string) (err error) {
	ctx, end := s.begin(ctx, "Delete")
	defer func() { end(err) }()
	_, err = s.client.TaskService().Delete(ctx, &tasks.DeleteTaskRequest{ContainerID: id})
	return ignoreNotFound(s.fail(ctx, "delete the task", err))
}

// DeleteExec removes a process added by Exec that has ended.
func (s *Service) DeleteExec(ctx context.Context, id, execID string) (err error) {
	ctx, end := s.begin(ctx, "DeleteExec")
	defer func() { end(err) }()
	_, err = s.client.TaskService().DeleteProcess(ctx, &tasks.DeleteProcessRequest{ContainerID: id, ExecID: execID})
	return ignoreNotFound(s.fail(ctx, "delete the exec", err))
}

// Exec adds a process to a running container; Start starts it.
func (s *Service) Exec(ctx context.Context, id, execID string, p *specs.Process, io Stdio) (err error) {
	spec, err := typeurl.MarshalAnyToProto(p)
	if err != nil {
		return fmt.Errorf("encode the process of exec %s: %w", execID, err)
	}
	ctx, end := s.begin(ctx, "Exec")
	defer func() { end(err) }()
	_, err = s.client.TaskService().Exec(ctx, &tasks.ExecProcessRequest{
		ContainerID: id, ExecID: execID, Spec: spec,
		Stdin: io.Stdin, Stdout: io.Stdout, Stderr: io.Stderr, Terminal: io.Terminal,
	})
	return s.fail(ctx, "add the exec", err)
}

// CloseStdin closes the process's stdin for good.
func (s *Service) CloseStdin(ctx context.Context, id, execID string) (err error) {
	ctx, end := s.begin(ctx, "CloseStdin")
	defer func() { end(err) }()
	_, err = s.client.TaskService().CloseIO(ctx, &tasks.CloseIORequest{ContainerID: id, ExecID: execID, Stdin: true})
	return s.fail(ctx, "close stdin", err)
}

// Resize sets the size of the process's terminal, in characters.
func (s *Service) Resize(ctx context.Context, id, execID string, width, height uint32) (err error) {
	ctx, end := s.begin(ctx, "Resize")
	defer func() { end(err) }()
	_, err = s.client.TaskService().ResizePty(ctx, &tasks.ResizePtyRequest{
		ContainerID: id, ExecID: execID, Width: width, Height: height,
	})
	return s.fail(ctx, "resize the terminal", err)
}

// Update changes the resources of a running container; a value that the kernel does not
// take is errdefs.ErrInvalidArgument.
func (s *Service) Update(ctx context.Context, id string, r *specs.LinuxResources) (err error) {
	res, err := typeurl.MarshalAnyToProto(r)
	if err != nil {
		return fmt.Errorf("encode the resources of %s: %w", id, err)
	}
	ctx, end := s.begin(ctx, "Update")
	defer func() { end(err) }()
	_, err = s.client.TaskService().Update(ctx, &tasks.UpdateTaskRequest{ContainerID: id, Resources: res})
	if err = s.fail(ctx, "update the resources", err); refused(err) {
		err = fmt.Errorf("%w: %w", err, errdefs.ErrInvalidArgument)
	}
	return err
}

// State is what containerd says about a task.
type State struct {
	PID     uint32
	Running bool
	Exited  bool
	Exit    Exit
}

// Get asks for the state of a task, or with an execID of a process that was added to it;
// errdefs.ErrNotFound when there is none.
func (s *Service) Get(ctx context.Context, id, execID string) (_ State, err error) {
	ctx, end := s.begin(ctx, "Get")
	defer func() { end(err) }()
	resp, err := s.client.TaskService().Get(ctx, &tasks.GetRequest{ContainerID: id, ExecID: execID})
	if err != nil {
		return State{}, s.fail(ctx, "ask for the task", err)
	}
	p := resp.Process
	return State{
		PID:     p.Pid,
		Running: p.Status.String() == "RUNNING" || p.Status.String() == "PAUSED",
		Exited:  p.Status.String() == "STOPPED",
		Exit:    Exit{Code: p.ExitStatus, At: p.ExitedAt.AsTime()},
	}, nil
}

// Metrics asks the task's shim for its figures, in the form of the shim's choice
// (typeurl); errdefs.ErrNotFound when there is no such task.
func (s *Service) Metrics(ctx context.Context, id string) (_ typeurl.Any, err error) {
	ctx, end := s.begin(ctx, "Metrics")
	defer func() { end(err) }()
	resp, err := s.client.TaskService().Metrics(ctx, &tasks.MetricsRequest{Filters: []string{"id==" + id}})
	if err != nil {
		return nil, s.fail(ctx, "ask for the figures", err)
	}
	for _, m := range resp.Metrics {
		if m.ID == id {
			return m.Data, nil
		}
	}
	return nil, fmt.Errorf("the shim has no figures of %s: %w", id, errdefs.ErrNotFound)
}

func namespaced(ctx context.Context) context.Context {
	if _, ok := namespaces.Namespace(ctx); ok {
		return ctx
	}
	return namespaces.WithNamespace(ctx, "k8s.io")
}

// begin gives a call its deadline and tells the observer of it.
func (s *Service) begin(ctx context.Context, call string) (context.Context, func(error)) {
	ctx, cancel := context.WithTimeout(namespaced(ctx), s.timeout)
	observed := s.observe(ctx, call)
	return ctx, func(err error) {
		cancel()
		observed(err)
	}
}

// fail classifies err and, when the deadline here was the cause, says that it
// was the shim that did not answer.
func (s *Service) fail(ctx context.Context, doing string, err error) error {
	if err == nil {
		return nil
	}
	err = errgrpc.ToNative(err)
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%s: the shim did not answer within %s: %w", doing, s.timeout, context.DeadlineExceeded)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

func ignoreNotFound(err error) error {
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

// badUnified reports whether the kernel has no such cgroup file as a unified resource asks for, or
// does not take its value. The runtimes have no code for that either.
func badUnified(err error) bool {
	return err != nil && strings.Contains(err.Error(), "unable to set unified resource")
}

// refused reports whether the kernel does not take a value for a cgroup.
func refused(err error) bool {
	return badUnified(err) || err != nil && (strings.Contains(err.Error(), unix.EINVAL.Error()) ||
		strings.Contains(err.Error(), unix.ERANGE.Error())) // a processor beyond what the kernel was built for
}

func mountsToProto(mounts []mount.Mount) []*types.Mount {
	out := make([]*types.Mount, 0, len(mounts))
	for _, m := range mounts {
		out = append(out, &types.Mount{Type: m.Type, Source: m.Source, Target: m.Target, Options: m.Options})
	}
	return out
}

// reapWait is how long Reap waits for a process that was sent SIGKILL.
const reapWait = 30 * time.Second

// Reap ends a task whatever its state and removes it: SIGKILL to all of its
// processes, wait, delete. A task that is not there is no error.
func (s *Service) Reap(ctx context.Context, id string) error {
	if err := s.Kill(ctx, id, "", uint32(unix.SIGKILL), true); err != nil && !gone(err) {
		return err
	}
	wait, cancel := context.WithTimeout(ctx, reapWait)
	defer cancel()
	if _, err := s.Wait(wait, id, ""); err != nil && !gone(err) {
		return err
	}
	return s.Delete(ctx, id)
}

// gone reports whether the process or its task is not there any more. The runtimes have
// no code for "the process has ended already", hence the texts.
func gone(err error) bool {
	return errdefs.IsNotFound(err) || strings.Contains(err.Error(), "process already finished") ||
		strings.Contains(err.Error(), "container not running") || strings.Contains(err.Error(), "ttrpc: closed")
}
