package podtask

import (
	"context"

	taskapi "github.com/containerd/containerd/api/runtime/task/v3"
	tasktypes "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/core/runtime"
	"github.com/containerd/containerd/v2/pkg/identifiers"
	"google.golang.org/protobuf/types/known/anypb"
)

// task is a container's first process and the container around it, as containerd wants
// it (runtime.Task). One is made for each request.
type task struct{ process }

var _ runtime.Task = (*task)(nil)

// Namespace is containerd's.
func (t *task) Namespace() string { return t.namespace }

// PID of the first process, on the host.
func (t *task) PID(ctx context.Context) (uint32, error) {
	if t.pid != 0 {
		return t.pid, nil
	}
	err := t.call(ctx, func(shim taskapi.TTRPCTaskService) error {
		resp, err := shim.Connect(ctx, &taskapi.ConnectRequest{ID: t.id})
		t.pid = resp.GetTaskPid()
		return err
	})
	return t.pid, err
}

// Pause freezes the container.
func (t *task) Pause(ctx context.Context) error {
	return t.call(ctx, func(shim taskapi.TTRPCTaskService) error {
		_, err := shim.Pause(ctx, &taskapi.PauseRequest{ID: t.id})
		return err
	})
}

// Resume thaws it.
func (t *task) Resume(ctx context.Context) error {
	return t.call(ctx, func(shim taskapi.TTRPCTaskService) error {
		_, err := shim.Resume(ctx, &taskapi.ResumeRequest{ID: t.id})
		return err
	})
}

// Exec adds a process, which Start starts.
func (t *task) Exec(ctx context.Context, id string, opts runtime.ExecOpts) (runtime.ExecProcess, error) {
	if err := identifiers.Validate(id); err != nil {
		return nil, err
	}
	err := t.call(ctx, func(shim taskapi.TTRPCTaskService) error {
		_, err := shim.Exec(ctx, &taskapi.ExecProcessRequest{
			ID: t.id, ExecID: id, Spec: opts.Spec,
			Stdin: opts.IO.Stdin, Stdout: opts.IO.Stdout, Stderr: opts.IO.Stderr, Terminal: opts.IO.Terminal,
		})
		return err
	})
	return &execution{process{known: t.known, execID: id}}, err
}

// Process is one that Exec added. Whether there is one is found out by asking it
// something.
func (t *task) Process(_ context.Context, id string) (runtime.ExecProcess, error) {
	return &execution{process{known: t.known, execID: id}}, nil
}

// Pids are the processes of the container.
func (t *task) Pids(ctx context.Context) ([]runtime.ProcessInfo, error) {
	var out []runtime.ProcessInfo
	err := t.call(ctx, func(shim taskapi.TTRPCTaskService) error {
		resp, err := shim.Pids(ctx, &taskapi.PidsRequest{ID: t.id})
		for _, p := range resp.GetProcesses() {
			out = append(out, runtime.ProcessInfo{Pid: p.Pid, Info: p.Info})
		}
		return err
	})
	return out, err
}

// Checkpoint writes the container's state to a directory.
func (t *task) Checkpoint(ctx context.Context, path string, options *anypb.Any) error {
	return t.call(ctx, func(shim taskapi.TTRPCTaskService) error {
		_, err := shim.Checkpoint(ctx, &taskapi.CheckpointTaskRequest{ID: t.id, Path: path, Options: options})
		return err
	})
}

// Update changes the container's resources.
func (t *task) Update(ctx context.Context, resources *anypb.Any, annotations map[string]string) error {
	return t.call(ctx, func(shim taskapi.TTRPCTaskService) error {
		_, err := shim.Update(ctx, &taskapi.UpdateTaskRequest{ID: t.id, Resources: resources, Annotations: annotations})
		return err
	})
}

// Stats are the figures of the container's cgroup.
func (t *task) Stats(ctx context.Context) (out *anypb.Any, err error) {
	err = t.call(ctx, func(shim taskapi.TTRPCTaskService) error {
		resp, err := shim.Stats(ctx, &taskapi.StatsRequest{ID: t.id})
		out = resp.GetStats()
		return err
	})
	return out, err
}

var statuses = map[tasktypes.Status]runtime.Status{
	tasktypes.Status_CREATED: runtime.CreatedStatus,
	tasktypes.Status_RUNNING: runtime.RunningStatus,
	tasktypes.Status_STOPPED: runtime.StoppedStatus,
	tasktypes.Status_PAUSED:  runtime.PausedStatus,
	tasktypes.Status_PAUSING: runtime.PausingStatus,
}
