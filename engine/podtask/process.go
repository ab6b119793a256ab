package podtask

import (
	"context"
	"fmt"

	taskapi "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/containerd/v2/core/runtime"
)

// process is a task's first process, or with an execID one that was added.
type process struct {
	*known
	execID string
	// pid is known when this process was created or started through this very value.
	pid     uint32
	started bool
}

// execution is a process that was added (runtime.ExecProcess).
type execution struct{ process }

var _ runtime.ExecProcess = (*execution)(nil)

// ID of the exec, or of the container.
func (p *process) ID() string {
	if p.execID != "" {
		return p.execID
	}
	return p.id
}

func (k *known) call(ctx context.Context, do func(taskapi.TTRPCTaskService) error) error {
	if err := ask(ctx, k.Socket, do); err != nil {
		return fmt.Errorf("task %s: %w", k.id, err)
	}
	return nil
}

// Start starts the process.
func (p *process) Start(ctx context.Context) error {
	return p.call(ctx, func(shim taskapi.TTRPCTaskService) error {
		resp, err := shim.Start(ctx, &taskapi.StartRequest{ID: p.id, ExecID: p.execID})
		p.pid, p.started = resp.GetPid(), err == nil
		return err
	})
}

// State of the process. containerd's task service asks for it right after Start, for
// the PID, which Start has answered.
func (p *process) State(ctx context.Context) (out runtime.State, err error) {
	if p.started {
		return runtime.State{Pid: p.pid, Status: runtime.RunningStatus}, nil
	}
	err = p.call(ctx, func(shim taskapi.TTRPCTaskService) error {
		resp, err := shim.State(ctx, &taskapi.StateRequest{ID: p.id, ExecID: p.execID})
		out = runtime.State{
			Pid: resp.GetPid(), Status: statuses[resp.GetStatus()],
			ExitStatus: resp.GetExitStatus(), ExitedAt: resp.GetExitedAt().AsTime(),
			Stdin: resp.GetStdin(), Stdout: resp.GetStdout(), Stderr: resp.GetStderr(), Terminal: resp.GetTerminal(),
		}
		return err
	})
	return out, err
}

// Kill sends a signal, with all to every process of the container.
func (p *process) Kill(ctx context.Context, signal uint32, all bool) error {
	return p.call(ctx, func(shim taskapi.TTRPCTaskService) error {
		_, err := shim.Kill(ctx, &taskapi.KillRequest{ID: p.id, ExecID: p.execID, Signal: signal, All: all})
		return err
	})
}

// ResizePty sets the size of the process's terminal, in characters.
func (p *process) ResizePty(ctx context.Context, size runtime.ConsoleSize) error {
	return p.call(ctx, func(shim taskapi.TTRPCTaskService) error {
		_, err := shim.ResizePty(ctx, &taskapi.ResizePtyRequest{ID: p.id, ExecID: p.execID, Width: size.Width, Height: size.Height})
		return err
	})
}

// CloseIO closes the process's stdin.
func (p *process) CloseIO(ctx context.Context) error {
	return p.call(ctx, func(shim taskapi.TTRPCTaskService) error {
		_, err := shim.CloseIO(ctx, &taskapi.CloseIORequest{ID: p.id, ExecID: p.execID, Stdin: true})
		return err
	})
}

// Wait blocks until the process has ended, and keeps a connection for as long.
func (p *process) Wait(ctx context.Context) (exit *runtime.Exit, err error) {
	err = p.call(ctx, func(shim taskapi.TTRPCTaskService) error {
		resp, err := shim.Wait(ctx, &taskapi.WaitRequest{ID: p.id, ExecID: p.execID})
		exit = &runtime.Exit{Pid: p.pid, Status: resp.GetExitStatus(), Timestamp: resp.GetExitedAt().AsTime()}
		return err
	})
	if err != nil {
		return nil, err
	}
	return exit, nil
}

// Delete removes the process, which has ended.
func (p *execution) Delete(ctx context.Context) (*runtime.Exit, error) {
	return p.delete(ctx, p.execID)
}

// delete makes the shim remove a process that has ended; the task as a whole without an
// execID.
func (k *known) delete(ctx context.Context, execID string) (exit *runtime.Exit, err error) {
	err = k.call(ctx, func(shim taskapi.TTRPCTaskService) error {
		resp, err := shim.Delete(ctx, &taskapi.DeleteRequest{ID: k.id, ExecID: execID})
		exit = &runtime.Exit{Pid: resp.GetPid(), Status: resp.GetExitStatus(), Timestamp: resp.GetExitedAt().AsTime()}
		return err
	})
	if err != nil {
		return nil, err
	}
	return exit, nil
}
