package container

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"

	"github.com/berth-run/berth/cri/streaming"
	"github.com/berth-run/berth/internal/steps"
	"github.com/berth-run/berth/internal/task"
)

// execKillTimeout bounds how long an exec that was sent SIGKILL may take to end.
const execKillTimeout = 10 * time.Second

// minDrain is how often it is looked whether output still moves, whatever the configuration.
const minDrain = 50 * time.Millisecond

// execution is one command that was added to a container.
type execution struct {
	m       *Manager
	c       *Container
	id      string
	cmd     []string
	process *specs.Process
	streams streaming.IO
	drain   time.Duration
	patient bool // drain counts from when output last moved
	moved   movement
	caller  context.Context // its end is the command's
	unprime func()          // no process has to be moved any more

	fifos   cio.IO
	pid     uint32
	started chan struct{} // closed once it runs
	over    chan struct{} // closed when nothing of it is left
	ended   bool
	code    uint32
}

// plan is the life of a command. It is undone also when all went well: nothing of a
// command stays.
func (e *execution) plan() steps.Node {
	return steps.Seq{
		steps.Step{Name: "streams", Do: e.open, Undo: e.close},
		steps.Step{Name: "add", Do: e.add, Undo: e.delete},
		steps.Step{Name: "start", Do: e.start, Undo: e.end},
		steps.Step{Name: "wait", Do: e.wait},
	}
}

// open makes the FIFOs and begins to copy.
func (e *execution) open(context.Context) error {
	dir := e.m.execDir(e.c)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the streams of a command in %s: %w", e.c.Name(), err)
	}
	streams := e.streams
	// A nil *T in an interface is not nil, and cio asks for nil interfaces.
	var stdin io.Reader
	if streams.Stdin != nil {
		stdin = &closingReader{Reader: streams.Stdin, closed: e.closeStdin}
	}
	opts := []cio.Opt{cio.WithFIFODir(dir), cio.WithStreams(stdin, e.writer(streams.Stdout), e.writer(streams.Stderr))}
	if streams.TTY {
		opts = append(opts, cio.WithTerminal)
	}
	fifos, err := cio.NewCreator(opts...)(e.id)
	if err != nil {
		return fmt.Errorf("make the streams of a command in %s: %w", e.c.Name(), err)
	}
	e.fifos = fifos
	return nil
}

// close ends the copying and removes the FIFOs.
func (e *execution) close(context.Context) error {
	if e.fifos == nil {
		return nil
	}
	e.fifos.Cancel()
	return e.fifos.Close()
}

// add makes the command known to the shim.
func (e *execution) add(ctx context.Context) error {
	config := e.fifos.Config()
	stdio := task.Stdio{Stdin: config.Stdin, Stdout: config.Stdout, Stderr: config.Stderr, Terminal: config.Terminal}
	if err := e.m.tasks.Exec(ctx, e.c.ID, e.id, e.process, stdio); err != nil {
		return fmt.Errorf("%s: %w", e.c.Name(), err)
	}
	return nil
}

// delete makes the shim forget the command. A container that has ended takes its
// commands along.
func (e *execution) delete(ctx context.Context) error {
	if err := e.m.tasks.DeleteExec(ctx, e.c.ID, e.id); err != nil && e.c.PID() != 0 {
		return err
	}
	return nil
}

// abandonRetry is the pause before a shim is told again that nobody waits for a command's start any more.
const abandonRetry = time.Second

func (e *execution) start(ctx context.Context) (err error) {
	defer e.abandonWithCaller()()
	if e.pid, err = e.m.tasks.Start(ctx, e.c.ID, e.id); err != nil {
		return fmt.Errorf("start command %q in %s: %w", e.cmd, e.c.Name(), classify(err))
	}
	if e.unprime != nil {
		e.unprime()
	}
	close(e.started)
	return nil
}

// abandonWithCaller has a start ended when the caller leaves. The OCI runtime can wait for ever: it opens files of the
// container, /etc/passwd for one, which may be a FIFO. The result is called when the start has ended.
func (e *execution) abandonWithCaller() (started func()) {
	over := make(chan struct{})
	stop := context.AfterFunc(e.caller, func() {
		for {
			select {
			case <-over:
				return
			case <-time.After(abandonRetry): // a start that is only slow comes to its end, and its command is killed
			}
			ctx, cancel := context.WithTimeout(e.m.ctx, execKillTimeout)
			_ = e.m.tasks.Kill(ctx, e.c.ID, e.id, uint32(unix.SIGKILL), false)
			cancel()
		}
	})
	return func() { stop(); close(over) }
}

// end kills a command that runs although nobody waits for it any more.
func (e *execution) end(ctx context.Context) error {
	if e.pid == 0 || e.ended {
		return nil
	}
	e.kill()
	ctx, cancel := context.WithTimeout(ctx, execKillTimeout)
	defer cancel()
	if _, err := e.m.tasks.Wait(ctx, e.c.ID, e.id); err != nil && !errdefs.IsNotFound(err) {
		return err
	}
	e.ended = true
	return nil
}

// writer notes what w takes. A nil *T in an interface is not nil, hence the detour.
func (e *execution) writer(w io.WriteCloser) io.Writer {
	if w == nil {
		return nil
	}
	return &observedWriter{w, &e.moved}
}

// closeStdin passes the end of the client's stdin on to the command: the shim
// holds the FIFO open until it is told.
func (e *execution) closeStdin() {
	select {
	case <-e.started:
	case <-e.over:
		return
	}
	_ = e.m.tasks.CloseStdin(e.m.ctx, e.c.ID, e.id)
}

// wait returns when the command has ended and its output was read. When the caller
// leaves first, the command is killed with its session.
func (e *execution) wait(context.Context) error {
	type result struct {
		exit task.Exit
		err  error
	}
	ctx, resize := e.caller, e.streams.Resize
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
			e.ended, e.code = r.err == nil, r.exit.Code
			if r.err == nil {
				e.awaitOutput(ctx)
			}
			return r.err
		case size, ok := <-resize:
			if !ok {
				resize = nil
				continue
			}
			_ = e.m.tasks.Resize(ctx, e.c.ID, e.id, uint32(size.Width), uint32(size.Height))
		case <-ctx.Done():
			return fmt.Errorf("command in %s was killed: %w", e.c.Name(), ctx.Err())
		}
	}
}

// awaitOutput waits until all output was passed on. What a child of the command holds open
// is not waited for longer than the drain timeout.
func (e *execution) awaitOutput(ctx context.Context) {
	done := make(chan struct{})
	go func() { e.fifos.Wait(); close(done) }()
	for {
		seen := e.moved.count.Load()
		timer := time.NewTimer(max(e.drain, minDrain))
		select {
		case <-done:
		case <-ctx.Done():
		case <-timer.C:
			if e.patient && (e.moved.busy.Load() > 0 || e.moved.count.Load() != seen) {
				continue // a client that takes it slowly gets it all
			}
		}
		timer.Stop()
		return
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
