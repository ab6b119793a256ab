package service

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"sync"

	"github.com/berth-run/berth/shim/ociruntime"
	"github.com/berth-run/berth/shim/reap"
	"github.com/berth-run/berth/shim/taskapi"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// execution is a process added to a container by Exec.
type execution struct {
	c     *container
	name  taskapi.Process
	stdio taskapi.Stdio
	spec  []byte
	// file is a name for files of this exec.
	file string
	done chan struct{} // closed when the process has ended, or could not be started

	op sync.Mutex // held by Start and Delete

	mu      sync.Mutex
	phase   taskapi.Status
	abandon context.CancelFunc // ends a start under way; nil while there is none
	pid     int
	pidfd   int // holds the process that pid was; -1 once it has ended
	exit    reap.Exit
	console *os.File
	relay   *relay
}

func (c *container) execution(id string) (*execution, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.execs[id]; e != nil {
		return e, nil
	}
	return nil, fmt.Errorf("no exec %q in container %s: %w", id, c.id, errdefs.ErrNotFound)
}

// runningExecs lists the execs whose process has not ended.
func (c *container) runningExecs() (out []*execution) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.execs {
		if e.status() == taskapi.Running {
			out = append(out, e)
		}
	}
	return out
}

// exec finds an exec by the container's ID and its own.
func (s *Service) exec(p taskapi.Process) (*execution, error) {
	c, err := s.need(p.ID)
	if err != nil {
		return nil, err
	}
	return c.execution(p.ExecID)
}

// Exec adds a process to a container; StartExec starts it.
func (s *Service) Exec(r *taskapi.ExecRequest) error {
	c, err := s.need(r.ID)
	if err != nil {
		return err
	}
	if c.status() == taskapi.Stopped {
		return fmt.Errorf("container %s does not run: %w", r.ID, errdefs.ErrFailedPrecondition)
	}
	spec, err := withTerminal(r.Spec.Value, r.Terminal)
	if err != nil {
		return fmt.Errorf("exec %s: malformed process: %w: %w", r.ExecID, err, errdefs.ErrInvalidArgument)
	}
	e := &execution{
		c: c, name: taskapi.Process{ID: r.ID, ExecID: r.ExecID}, stdio: r.Stdio, spec: spec,
		phase: taskapi.Created, done: make(chan struct{}),
	}
	c.mu.Lock()
	if c.execs[r.ExecID] != nil {
		c.mu.Unlock()
		return fmt.Errorf("exec %s of container %s: %w", r.ExecID, r.ID, errdefs.ErrAlreadyExists)
	}
	c.execs[r.ExecID] = e
	c.lastExec++
	e.file = "exec" + strconv.FormatUint(c.lastExec, 10)
	c.mu.Unlock()
	s.events.publish(taskapi.TaskExecAdded(e.name))
	return nil
}

// withTerminal makes an OCI process agree with the request about the terminal.
func withTerminal(spec []byte, terminal bool) ([]byte, error) {
	var p struct{ Terminal bool }
	if err := json.Unmarshal(spec, &p); err != nil || p.Terminal == terminal {
		return append([]byte(nil), spec...), err
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(spec, &all); err != nil {
		return nil, err
	}
	all["terminal"] = json.RawMessage(strconv.FormatBool(terminal))
	return json.Marshal(all)
}

// StartExec starts the process and returns its PID.
func (s *Service) StartExec(ctx context.Context, p taskapi.Process) (int, error) {
	ctx, cancel := detach(ctx)
	defer cancel()
	e, err := s.exec(p)
	if err != nil {
		return 0, err
	}
	e.op.Lock()
	defer e.op.Unlock()
	if e.status() != taskapi.Created {
		return 0, fmt.Errorf("exec %s has been started already: %w", p.ExecID, errdefs.ErrFailedPrecondition)
	}
	if e.c.status() == taskapi.Stopped {
		e.failed()
		return 0, fmt.Errorf("container %s does not run: %w", p.ID, errdefs.ErrFailedPrecondition)
	}
	expected := s.reaper.Expect()
	defer expected()
	e.starting(cancel)
	pid, err := e.start(ctx)
	e.starting(nil)
	if err != nil {
		e.failed()
		return 0, err
	}
	s.events.publish(taskapi.TaskExecStarted(p, pid))
	go s.awaitExec(e, s.reaper.Watch(pid))
	return pid, nil
}

// starting notes how a start under way is ended.
func (e *execution) starting(abandon context.CancelFunc) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.abandon = abandon
}

func (e *execution) start(ctx context.Context) (pid int, err error) {
	var streams ociruntime.Streams
	var theirs stdio
	var socket *consoleSocket
	if e.stdio.Terminal {
		if socket, err = listenConsole(e.c.runtime.Bundle); err != nil {
			return 0, err
		}
		defer socket.close()
		streams.Console = socket.name
	} else {
		e.relay, theirs, err = openFIFOs(e.stdio, int(e.c.options.IoUID), int(e.c.options.IoGID))
		if err != nil {
			return 0, err
		}
		defer theirs.close()
		streams = ociruntime.Streams{In: theirs.in, Out: theirs.out, Err: theirs.err}
	}
	if pid, err = e.c.runtime.Exec(ctx, e.file, e.spec, streams); err != nil {
		return 0, err
	}
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		pidfd = -1 // it has ended
	}
	e.mu.Lock()
	e.pid, e.pidfd, e.phase, e.spec = pid, pidfd, taskapi.Running, nil
	e.mu.Unlock()
	if socket == nil {
		return pid, nil
	}
	console, err := socket.receive(ctx)
	if err != nil {
		logf("exec %s in container %s: receive its terminal: %v", e.name.ExecID, e.name.ID, err)
		return pid, nil // it runs, without anybody to see it
	}
	relay, err := relayTerminal(console, e.stdio)
	if err != nil {
		console.Close()
		logf("exec %s in container %s: connect its terminal: %v", e.name.ExecID, e.name.ID, err)
		return pid, nil
	}
	e.mu.Lock()
	e.console, e.relay = console, relay
	e.mu.Unlock()
	return pid, nil
}

// failed ends an exec that could not be started.
func (e *execution) failed() {
	e.mu.Lock()
	e.phase, e.exit.Code = taskapi.Stopped, startFailed
	r := e.relay
	e.mu.Unlock()
	if r != nil {
		r.close()
	}
	close(e.done)
}

// startFailed is the exit code of an exec that could not be started.
const startFailed = 255

// awaitExec reports the end of an exec.
func (s *Service) awaitExec(e *execution, exited <-chan reap.Exit) {
	x := <-exited
	e.mu.Lock()
	e.exit, e.phase = x, taskapi.Stopped
	if e.pidfd >= 0 {
		unix.Close(e.pidfd)
		e.pidfd = -1
	}
	e.mu.Unlock()
	s.events.publish(taskapi.TaskExit(e.name, e.pid, uint32(x.Code), x.At))
	close(e.done)
}

func (e *execution) status() taskapi.Status {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.phase
}

func (e *execution) exitStatus() reap.Exit {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.exit
}

// signal sends a signal to the process. SIGKILL also ends a start under way, which waits for ever where the container has
// a FIFO as its /etc/passwd.
func (e *execution) signal(sig unix.Signal) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch e.phase {
	case taskapi.Created:
		if sig == unix.SIGKILL && e.abandon != nil {
			e.abandon()
			return nil
		}
		return fmt.Errorf("exec %s has not been started: %w", e.name.ExecID, errdefs.ErrFailedPrecondition)
	case taskapi.Stopped:
		return fmt.Errorf("process already finished: %w", errdefs.ErrNotFound)
	}
	var err error = unix.ESRCH
	if e.pidfd >= 0 {
		err = unix.PidfdSendSignal(e.pidfd, sig, nil, 0)
	}
	if err == unix.ESRCH {
		return fmt.Errorf("process already finished: %w", errdefs.ErrNotFound)
	}
	return err
}

// closeStdin lets the process find the end of its input.
func (e *execution) closeStdin() {
	e.mu.Lock()
	r := e.relay
	e.mu.Unlock()
	if r != nil {
		r.closeStdin()
	}
}

// DeleteExec removes an exec that has ended, or was never started.
func (s *Service) DeleteExec(p taskapi.Process) (*execution, error) {
	e, err := s.exec(p)
	if err != nil {
		return nil, err
	}
	e.op.Lock()
	defer e.op.Unlock()
	if e.status() == taskapi.Running {
		return nil, fmt.Errorf("exec %s runs and cannot be deleted: %w", p.ExecID, errdefs.ErrFailedPrecondition)
	}
	if e.relay != nil {
		e.relay.close()
		e.relay.awaitTaken(e.stdio)
	}
	e.c.mu.Lock()
	defer e.c.mu.Unlock()
	delete(e.c.execs, p.ExecID)
	return e, nil
}
