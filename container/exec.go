package container

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/containerd/v2/pkg/cio"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"

	"github.com/berth-run/berth/container/spec"
	"github.com/berth-run/berth/cri/streaming"
	"github.com/berth-run/berth/task"
)

// execKillTimeout bounds how long an exec that was sent SIGKILL may take to end.
const execKillTimeout = 10 * time.Second

// ExecSync runs a command and returns its output and exit code (CRI ExecSync). With
// a timeout above zero the command, and what it started in its session, is killed
// when that has passed, and the error is context.DeadlineExceeded. Output beyond
// the configured bound is read and dropped. Once the command has ended, output that
// a child still holds open is waited for no longer than the drain timeout.
func (m *Manager) ExecSync(ctx context.Context, id string, cmd []string, timeout time.Duration) (stdout, stderr []byte, code uint32, err error) {
	c, err := m.NeedRunning(id, "run a command in it")
	if err != nil {
		return nil, nil, 0, err
	}
	limit := int(m.Config.Container.ExecMaxOutput)
	out, errOut := &cappedBuffer{limit: limit}, &cappedBuffer{limit: limit}
	run := ctx
	if timeout > 0 {
		var cancel context.CancelFunc
		run, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	code, err = m.exec(run, c, cmd, streaming.IO{Stdout: out, Stderr: errOut}, m.Config.Container.ExecDrainTimeout.Duration)
	if err != nil && ctx.Err() == nil && run.Err() != nil {
		err = fmt.Errorf("command %q in %s did not end within %s and was killed: %w", cmd, c.Name(), timeout, context.DeadlineExceeded)
	}
	return out.Bytes(), errOut.Bytes(), code, err
}

// Exec runs a command with the client's streams until it ends (CRI Exec). It lives
// no longer than ctx.
func (m *Manager) Exec(ctx context.Context, id string, cmd []string, streams streaming.IO) (uint32, error) {
	c, err := m.NeedRunning(id, "run a command in it")
	if err != nil {
		return 0, err
	}
	return m.exec(ctx, c, cmd, streams, m.Config.Container.ExecDrainTimeout.Duration)
}

// NeedRunning finds a container that has to run for what is asked.
func (m *Manager) NeedRunning(id, purpose string) (*Container, error) {
	c, err := m.Get(id)
	if err != nil {
		return nil, err
	}
	if c.PID() == 0 {
		return nil, precondition("%s does not run (it is %s): cannot %s", c.Name(), stateName(c.State()), purpose)
	}
	return c, nil
}

// exec is one command in a container, from its FIFOs to their removal.
func (m *Manager) exec(ctx context.Context, c *Container, cmd []string, streams streaming.IO, drain time.Duration) (uint32, error) {
	process, err := m.execProcess(ctx, c, cmd, streams.TTY)
	if err != nil {
		return 0, err
	}
	e := &execution{m: m, c: c, id: execID(), started: make(chan struct{})}
	fifos, err := e.open(streams)
	if err != nil {
		return 0, fmt.Errorf("make the streams of a command in %s: %w", c.Name(), err)
	}
	defer fifos.Close()
	defer fifos.Cancel()
	// From here on the exec exists for the shim, and goes whatever happens.
	own := context.WithoutCancel(ctx)
	config := fifos.Config()
	stdio := task.Stdio{Stdin: config.Stdin, Stdout: config.Stdout, Stderr: config.Stderr, Terminal: config.Terminal}
	if err := m.tasks.Exec(own, c.ID, e.id, process, stdio); err != nil {
		return 0, fmt.Errorf("%s: %w", c.Name(), err)
	}
	defer func() {
		if err := m.tasks.DeleteExec(own, c.ID, e.id); err != nil && c.PID() != 0 {
			klog.FromContext(ctx).Error(err, "Cannot delete a command that has ended", "id", c.ID, "exec", e.id)
		}
	}()
	if e.pid, err = m.tasks.Start(own, c.ID, e.id); err != nil {
		return 0, fmt.Errorf("start command %q in %s: %w", cmd, c.Name(), classify(err))
	}
	close(e.started)
	code, err := e.wait(ctx, streams.Resize)
	if err == nil {
		waitFor(ctx, fifos.Wait, drain)
	}
	return code, err
}

// execution is one command that was added to a container.
type execution struct {
	m       *Manager
	c       *Container
	id      string
	pid     uint32
	started chan struct{}
}

// open makes the FIFOs and begins to copy.
func (e *execution) open(streams streaming.IO) (cio.IO, error) {
	dir := filepath.Join(e.m.paths.Container(e.c.ID), "exec")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	// A nil *T in an interface is not nil, and cio asks for nil interfaces.
	var stdin io.Reader
	if streams.Stdin != nil {
		stdin = &closingReader{Reader: streams.Stdin, closed: e.closeStdin}
	}
	opts := []cio.Opt{cio.WithFIFODir(dir), cio.WithStreams(stdin, writer(streams.Stdout), writer(streams.Stderr))}
	if streams.TTY {
		opts = append(opts, cio.WithTerminal)
	}
	return cio.NewCreator(opts...)(e.id)
}

func writer(w io.WriteCloser) io.Writer {
	if w == nil {
		return nil
	}
	return w
}

// closeStdin passes the end of the client's stdin on to the command: the shim
// holds the FIFO open until it is told.
func (e *execution) closeStdin() {
	select {
	case <-e.started:
	case <-e.m.ctx.Done():
		return
	}
	_ = e.m.tasks.CloseStdin(e.m.ctx, e.c.ID, e.id)
}

// wait returns when the command has ended. When ctx ends first, it is killed with
// its session.
func (e *execution) wait(ctx context.Context, resize <-chan streaming.TerminalSize) (uint32, error) {
	type result struct {
		exit task.Exit
		err  error
	}
	done := make(chan result, 1)
	waitCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	go func() {
		exit, err := e.m.tasks.Wait(waitCtx, e.c.ID, e.id)
		done <- result{exit, err}
	}()
	for {
		select {
		case r := <-done:
			return r.exit.Code, r.err
		case size, ok := <-resize:
			if !ok {
				resize = nil
				continue
			}
			_ = e.m.tasks.Resize(ctx, e.c.ID, e.id, uint32(size.Width), uint32(size.Height))
		case <-ctx.Done():
			e.kill()
			select {
			case <-done:
			case <-time.After(execKillTimeout):
			}
			return 0, fmt.Errorf("command in %s was killed: %w", e.c.Name(), ctx.Err())
		}
	}
}

func (e *execution) kill() {
	ctx := context.WithoutCancel(e.m.ctx)
	for _, dir := range e.m.Cgroups.Resolve(e.c.CgroupsPath) {
		if err := killSession(dir, int(e.pid)); err == nil {
			break
		}
	}
	if err := e.m.tasks.Kill(ctx, e.c.ID, e.id, uint32(unix.SIGKILL), false); err != nil {
		klog.FromContext(ctx).V(2).Info("Killing a command", "id", e.c.ID, "exec", e.id, "err", err)
	}
}

// execProcess is the container's own process with another command.
func (m *Manager) execProcess(ctx context.Context, c *Container, cmd []string, tty bool) (*specs.Process, error) {
	s, err := m.store.spec(ctx, c.ID)
	if err != nil {
		return nil, err
	}
	return spec.ExecProcess(s, cmd, tty), nil
}

func execID() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails, see crypto/rand
	return hex.EncodeToString(b)
}

// waitFor waits for fn, but no longer than limit or ctx. fn ends when its streams
// are closed, which the caller does next.
func waitFor(ctx context.Context, fn func(), limit time.Duration) {
	done := make(chan struct{})
	go func() { fn(); close(done) }()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	case <-ctx.Done():
	}
}
