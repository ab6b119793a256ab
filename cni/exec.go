package cni

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/version"
)

const (
	maxStdout = 4 << 20
	maxStderr = 64 << 10
	// outputGrace is how long an exited plugin's output may be held open by a child.
	outputGrace = time.Second
	// busyWait is how long a plugin binary that is being written is waited for.
	busyWait = 3 * time.Second
)

// pluginExec runs plugins for libcni. It never looks at the caller's deadline.
type pluginExec struct {
	version.PluginDecoder
	timeouts Timeouts
	observer Observer
	toolDir  string // PATH of the built-in network's plugins, "" for the daemon's own
}

var _ invoke.Exec = (*pluginExec)(nil)

// runInfo travels through libcni in the context.
type runInfo struct {
	builtin bool
	// network is the index of the network in the record, for ADD.
	network int
	// lock is inherited by the plugin, so that the pod stays locked while the plugin runs, even
	// when the daemon is killed. Nil where no pod is involved.
	lock *record
}

type runInfoKey struct{}

func withRun(ctx context.Context, info runInfo) context.Context {
	return context.WithValue(context.WithoutCancel(ctx), runInfoKey{}, info)
}

// FindInPath looks for a plugin binary.
func (e *pluginExec) FindInPath(plugin string, dirs []string) (string, error) {
	path, err := invoke.FindInPath(plugin, dirs)
	if err != nil {
		return "", &PluginError{Plugin: plugin, Stage: StageLookup, Err: fmt.Errorf("not found in %s; install it there, or name its directory in the configuration: %w",
			strings.Join(dirs, ", "), errdefs.ErrFailedPrecondition)}
	}
	return path, nil
}

// ExecPlugin runs one plugin with the verb's deadline.
func (e *pluginExec) ExecPlugin(ctx context.Context, path string, stdin []byte, environ []string) ([]byte, error) {
	info, _ := ctx.Value(runInfoKey{}).(runInfo)
	run := &pluginRun{plugin: filepath.Base(path), path: path, stdin: stdin, info: info, verb: getenv(environ, "CNI_COMMAND")}
	if run.verb == "ADD" && info.lock != nil {
		if err := info.lock.begin(info.network); err != nil {
			return nil, run.fail(StageStart, fmt.Errorf("write attachment record: %w", err))
		}
	}
	if out, idle := idleAnswer(run.plugin, run.verb, stdin); idle {
		return out, nil
	}
	run.env = environ
	if info.builtin && e.toolDir != "" {
		run.env = append(environ, "PATH="+e.toolDir)
	}
	run.begin = time.Now()
	out, err := run.do(ctx, e.timeout(run.verb))
	if e.observer.Plugin != nil {
		e.observer.Plugin(run.plugin, run.verb, err, time.Since(run.begin))
	}
	return out, err
}

func (e *pluginExec) timeout(verb string) time.Duration {
	switch verb {
	case "ADD":
		return e.timeouts.Add
	case "DEL":
		return e.timeouts.Del
	case "CHECK":
		return e.timeouts.Check
	case "GC":
		return e.timeouts.GC
	default:
		return e.timeouts.Status
	}
}

// pluginRun is one run of one plugin.
type pluginRun struct {
	plugin, path, verb string
	stdin              []byte
	env                []string
	info               runInfo
	begin              time.Time
}

func (r *pluginRun) do(ctx context.Context, timeout time.Duration) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	stdout, stderr := &bounded{max: maxStdout}, &bounded{max: maxStderr}
	cmd, err := r.start(ctx, stdout, stderr)
	if err != nil {
		return nil, r.fail(StageStart, err)
	}
	err = cmd.Wait()
	switch {
	case ctx.Err() != nil && !cmd.ProcessState.Success():
		if r.info.lock != nil {
			r.info.lock.keepLocked = true
		}
		return nil, r.fail(StageRunning, fmt.Errorf("gave no answer within %v and was killed%s: %w", timeout, stderr.quoted(), context.DeadlineExceeded))
	case errors.Is(err, exec.ErrWaitDelay):
		err = nil // it succeeded; a child of its holds the pipe
	}
	if err != nil {
		return nil, r.fail(StageRunning, reported(err, stdout, stderr))
	}
	if stdout.overflow {
		return nil, r.fail(StageOutput, fmt.Errorf("wrote more than %d bytes", maxStdout))
	}
	out := stdout.Bytes()
	if r.verb == "ADD" && !json.Valid(out) {
		return nil, r.fail(StageOutput, fmt.Errorf("result is no JSON: %s", stdout.quoted()))
	}
	return out, nil
}

// start forks the plugin as the leader of its own process group, so that it can be killed with
// its children. A binary that is being installed is waited for.
func (r *pluginRun) start(ctx context.Context, stdout, stderr *bounded) (*exec.Cmd, error) {
	for {
		cmd := exec.CommandContext(ctx, r.path)
		cmd.Env = r.env
		cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(r.stdin), stdout, stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
		cmd.WaitDelay = outputGrace
		if r.info.lock != nil {
			cmd.ExtraFiles = []*os.File{r.info.lock.file}
		}
		err := cmd.Start()
		if !errors.Is(err, syscall.ETXTBSY) || time.Since(r.begin) > busyWait {
			return cmd, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(50 * time.Millisecond): // nothing announces the end of the write
		}
	}
}

func (r *pluginRun) fail(stage Stage, err error) *PluginError {
	e := &PluginError{Plugin: r.plugin, Verb: r.verb, Stage: stage, Age: time.Since(r.begin), Err: err}
	var reported *types.Error
	if errors.As(err, &reported) {
		e.Code = reported.Code
	}
	return e
}

// reported is what a plugin that failed has to say: a CNI error on its standard output, else
// whatever it wrote.
func reported(exit error, stdout, stderr *bounded) error {
	var said types.Error
	if json.Unmarshal(stdout.Bytes(), &said) == nil && (said.Msg != "" || said.Code != 0) {
		return &said
	}
	return fmt.Errorf("%w%s%s", exit, stdout.quoted(), stderr.quoted())
}

func getenv(environ []string, name string) string {
	for i := len(environ) - 1; i >= 0; i-- {
		if v, ok := strings.CutPrefix(environ[i], name+"="); ok {
			return v
		}
	}
	return ""
}

// bounded keeps the first max bytes and swallows the rest, so the writer never blocks. The
// buffer is not embedded: its ReadFrom would go round the bound.
type bounded struct {
	buf      bytes.Buffer
	max      int
	overflow bool
}

// Write never fails.
func (b *bounded) Write(p []byte) (int, error) {
	if room := b.max - b.buf.Len(); len(p) > room {
		b.overflow = true
		b.buf.Write(p[:room])
		return len(p), nil
	}
	return b.buf.Write(p)
}

// Bytes is what was kept.
func (b *bounded) Bytes() []byte { return b.buf.Bytes() }

// quoted is the end of a message, "" when nothing was written.
func (b *bounded) quoted() string {
	const most = 1024
	s := strings.TrimSpace(b.buf.String())
	if s == "" {
		return ""
	}
	if len(s) > most {
		s = s[:most] + "…"
	}
	return fmt.Sprintf(": %q", s)
}
