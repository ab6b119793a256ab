package service

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/berth-run/berth/shim/taskapi"
	"github.com/berth-run/berth/shim/ttrpc"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// Handle answers a call of the Task API.
func (s *Service) Handle(ctx context.Context, q *ttrpc.Request) ([]byte, error) {
	if q.Service != taskapi.Service {
		return nil, fmt.Errorf("service %s: %w", q.Service, errdefs.ErrNotImplemented)
	}
	switch q.Method {
	case "Create":
		return s.callCreate(ctx, q.Payload)
	case "Exec":
		return s.callExec(q.Payload)
	case "Kill":
		return s.callKill(q.Payload)
	case "ResizePty":
		return s.callResize(q.Payload)
	case "Update":
		return s.callUpdate(ctx, q.Payload)
	case "Start", "Delete", "Wait", "State", "CloseIO":
		p, err := taskapi.ReadProcess(q.Payload)
		if err != nil {
			return nil, err
		}
		return s.callProcess(ctx, q.Method, p)
	}
	id, err := taskapi.ReadID(q.Payload)
	if err != nil {
		return nil, err
	}
	return s.callTask(ctx, q.Method, id)
}

func (s *Service) callCreate(ctx context.Context, b []byte) ([]byte, error) {
	r, err := taskapi.ReadCreateRequest(b)
	if err != nil {
		return nil, err
	}
	pid, err := s.Create(ctx, &r)
	return taskapi.PID(pid), err
}

func (s *Service) callExec(b []byte) ([]byte, error) {
	r, err := taskapi.ReadExecRequest(b)
	if err != nil {
		return nil, err
	}
	return nil, s.Exec(&r)
}

func (s *Service) callKill(b []byte) ([]byte, error) {
	r, err := taskapi.ReadKillRequest(b)
	if err != nil {
		return nil, err
	}
	if r.ExecID == "" {
		return nil, s.Kill(r.ID, unix.Signal(r.Signal), r.All)
	}
	e, err := s.exec(r.Process)
	if err != nil {
		return nil, err
	}
	return nil, e.signal(unix.Signal(r.Signal))
}

func (s *Service) callResize(b []byte) ([]byte, error) {
	r, err := taskapi.ReadResizeRequest(b)
	if err != nil {
		return nil, err
	}
	width, height := uint16(min(r.Width, 1<<16-1)), uint16(min(r.Height, 1<<16-1))
	c, err := s.need(r.ID)
	if err != nil {
		return nil, err
	}
	if r.ExecID == "" {
		return nil, c.resize(width, height)
	}
	e, err := c.execution(r.ExecID)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return nil, resize(e.console, width, height)
}

func (s *Service) callUpdate(ctx context.Context, b []byte) ([]byte, error) {
	r, err := taskapi.ReadUpdateRequest(b)
	if err != nil {
		return nil, err
	}
	return nil, s.Update(ctx, r.ID, r.Resources.Value)
}

// callProcess answers what is asked of init and of execs alike.
func (s *Service) callProcess(ctx context.Context, method string, p taskapi.Process) ([]byte, error) {
	if p.ExecID != "" {
		return s.callExecution(ctx, method, p)
	}
	switch method {
	case "Start":
		pid, err := s.Start(ctx, p.ID)
		return taskapi.PID(pid), err
	case "Delete":
		c, err := s.Delete(ctx, p.ID)
		if err != nil {
			return nil, err
		}
		code, at := c.exitStatus()
		return taskapi.Deleted(c.pid, code, at), nil
	case "Wait":
		code, at, err := s.Wait(ctx, p.ID)
		return taskapi.Exit(code, at), err
	case "CloseIO":
		return nil, s.CloseStdin(p.ID)
	}
	c, err := s.need(p.ID)
	if err != nil {
		return nil, err
	}
	st := taskapi.State{ID: p.ID, Bundle: c.runtime.Bundle, PID: c.pid, Status: c.status(), Stdio: c.stdio}
	st.ExitCode, st.ExitedAt = c.exitStatus()
	return st.Encode(), nil
}

func (s *Service) callExecution(ctx context.Context, method string, p taskapi.Process) ([]byte, error) {
	if method == "Start" {
		pid, err := s.StartExec(ctx, p)
		return taskapi.PID(pid), err
	}
	if method == "Delete" {
		e, err := s.DeleteExec(p)
		if err != nil {
			return nil, err
		}
		x := e.exitStatus()
		return taskapi.Deleted(e.pid, uint32(x.Code), x.At), nil
	}
	e, err := s.exec(p)
	if err != nil {
		return nil, err
	}
	switch method {
	case "Wait":
		select {
		case <-e.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		x := e.exitStatus()
		return taskapi.Exit(uint32(x.Code), x.At), nil
	case "CloseIO":
		e.closeStdin()
		return nil, nil
	}
	return e.state().Encode(), nil
}

func (e *execution) state() taskapi.State {
	paused := e.c.status() == taskapi.Paused // before e.mu: c.mu comes first
	e.mu.Lock()
	defer e.mu.Unlock()
	st := taskapi.State{
		ID: e.name.ExecID, Bundle: e.c.runtime.Bundle, PID: e.pid, Status: e.phase, Stdio: e.stdio,
		ExitCode: uint32(e.exit.Code), ExitedAt: e.exit.At,
	}
	if st.Status == taskapi.Running && paused {
		st.Status = taskapi.Paused
	}
	return st
}

// callTask answers what is asked of a task as a whole.
func (s *Service) callTask(ctx context.Context, method, id string) ([]byte, error) {
	switch method {
	case "Connect":
		pid := 0
		if c := s.container(id); c != nil {
			pid = c.pid
		}
		return taskapi.Connected(os.Getpid(), pid), nil
	case "Shutdown":
		// Not before the answer is on its way.
		time.AfterFunc(shutdownDelay, s.Shutdown)
		return nil, nil
	case "Pause":
		return nil, s.Pause(ctx, id)
	case "Resume":
		return nil, s.Resume(ctx, id)
	}
	c, err := s.need(id)
	if err != nil {
		return nil, err
	}
	switch method {
	case "Pids":
		pids, err := c.group.PIDs()
		return taskapi.PIDs(pids, c.execPIDs()), err
	case "Stats":
		if c.status() == taskapi.Stopped {
			return nil, fmt.Errorf("container %s has ended: %w", id, errdefs.ErrNotFound)
		}
		return taskapi.Stats(c.group.Metrics()), nil
	}
	return nil, fmt.Errorf("method %s of the Task API: %w", method, errdefs.ErrNotImplemented)
}

// shutdownDelay lets the answer to a shutdown out.
const shutdownDelay = 10 * time.Millisecond

func (c *container) execPIDs() map[int]string {
	out := make(map[int]string)
	for _, e := range c.runningExecs() {
		out[e.pid] = e.name.ExecID
	}
	return out
}
