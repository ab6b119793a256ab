package container

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"k8s.io/klog/v2"

	"github.com/berth-run/berth/container/ocispec"
	"github.com/berth-run/berth/cri/streaming"
	"github.com/berth-run/berth/internal/budget"
	"github.com/berth-run/berth/internal/cgroup"
	"github.com/berth-run/berth/internal/flight"
)

// ExecSync runs a command and returns its output and exit code (CRI ExecSync). With
// a timeout above zero the command, and what it started in its session, is killed
// when that has passed, and the error is context.DeadlineExceeded. Output beyond
// the configured bound, and beyond what all calls together may hold, is read and dropped. Once
// the command has ended, output that a child still holds open is waited for no longer than the
// drain timeout. The output must be released.
func (m *Manager) ExecSync(ctx context.Context, id string, cmd []string, timeout time.Duration) (*Output, uint32, error) {
	c, err := m.NeedRunning(id, "run a command in it")
	if err != nil {
		return nil, 0, err
	}
	out := newOutput(int(min(m.Config.Container.ExecMaxOutput, budget.ExecAnswer)), m.outputs)
	run := ctx
	if timeout > 0 {
		var cancel context.CancelFunc
		run, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	code, err := m.execBounded(run, c, cmd, streaming.IO{Stdout: &out.Stdout, Stderr: &out.Stderr})
	if err != nil {
		out.Release()
		if ctx.Err() == nil && run.Err() != nil {
			err = fmt.Errorf("command %q in %s did not end within %s (%w): %v", cmd, c.Name(), timeout, context.DeadlineExceeded, err)
		}
		return nil, 0, err
	}
	out.close()
	return out, code, nil
}

// execUndo is how long a caller whose time is up waits for the command to be killed and
// taken away, which takes milliseconds where nothing hangs.
const execUndo = 2 * time.Second

// execBounded is exec, but returns soon after ctx has ended also when the shim or the OCI
// runtime hangs. What is left of the command is then undone in the background.
func (m *Manager) execBounded(ctx context.Context, c *Container, cmd []string, streams streaming.IO) (uint32, error) {
	wait, leave := context.WithCancel(context.WithoutCancel(ctx))
	defer leave()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(execUndo, leave) })()
	var code uint32 // not to be read before the flight has ended without an error
	_, err := m.flights.Do(wait, "exec/"+execID(), "a command in "+c.Name(), func(context.Context, *flight.Call) (_ string, err error) {
		code, err = m.exec(ctx, c, cmd, streams, false)
		return "", err
	})
	if err != nil {
		return 0, err
	}
	return code, nil
}

// Exec runs a command with the client's streams until it ends (CRI Exec). It lives
// no longer than ctx. The client gets all output, however slowly it takes it; output that a
// child still holds open is waited for as long as some comes within each drain timeout.
func (m *Manager) Exec(ctx context.Context, id string, cmd []string, streams streaming.IO) (uint32, error) {
	c, err := m.NeedRunning(id, "run a command in it")
	if err != nil {
		return 0, err
	}
	return m.exec(ctx, c, cmd, streams, true)
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
func (m *Manager) exec(ctx context.Context, c *Container, cmd []string, streams streaming.IO, patient bool) (uint32, error) {
	if by := m.Cgroups.FrozenBy(m.Cgroups.Resolve(c.CgroupsPath)); by != "" {
		return 0, precondition("%s is frozen by cgroup %s, a command in it would not run: thaw that (%s), or stop the container",
			c.Name(), by, m.Cgroups.ThawCommand(by))
	}
	release := m.primeExec()
	defer release()
	process, err := m.execProcess(ctx, c, cmd, streams.TTY)
	if err != nil {
		return 0, err
	}
	e := &execution{m: m, c: c, id: execID(), cmd: cmd, process: process, streams: streams, patient: patient, started: make(chan struct{}), over: make(chan struct{})}
	e.unprime, e.caller, e.drain = release, ctx, m.Config.Container.ExecDrainTimeout.Duration
	defer close(e.over)
	plan := m.planOf("Exec", e.plan(), nil)
	// What is begun comes to its end, whatever becomes of the caller.
	own := context.WithoutCancel(ctx)
	if err := plan.Up(own); err != nil {
		return 0, err
	}
	if err := plan.Down(own); err != nil {
		klog.FromContext(ctx).Error(err, "Cannot tidy up after a command", "id", c.ID, "exec", e.id)
	}
	return e.code, nil
}

// primeExec prepares the move of a command's process into the container's cgroup, which
// OCI runtimes spare themselves on cgroup v2: there a process is born where it belongs.
func (m *Manager) primeExec() (release func()) {
	if m.Cgroups.Mode == cgroup.Unified {
		return func() {}
	}
	return m.primer.Hold()
}

// execProcess is the container's own process with another command.
func (m *Manager) execProcess(ctx context.Context, c *Container, cmd []string, tty bool) (*specs.Process, error) {
	s, err := m.store.spec(ctx, c.ID)
	if err != nil {
		return nil, err
	}
	return ocispec.ExecProcess(s, cmd, tty), nil
}

func execID() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails, see crypto/rand
	return hex.EncodeToString(b)
}
