package critest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Options say what to run against what.
type Options struct {
	// Binary is critest itself, for example bin/critest.
	Binary string
	// Socket is the path of the runtime's CRI socket, for both services.
	Socket string
	// Handler is the runtime handler to test; empty for the default one.
	Handler string
	// WebSocket streams exec, attach and port forwarding over WebSocket, not SPDY.
	WebSocket bool
	// Focus and Skip are regular expressions on the names of tests. Benchmarks are
	// never run.
	Focus, Skip string
	// Timeout bounds the whole run; 40 minutes when zero.
	Timeout time.Duration
	// Log gets critest's own output; nil for nowhere.
	Log io.Writer
}

// Run runs the suite. The error is for a suite that could not be run to its end;
// tests that fail are in the result.
func Run(ctx context.Context, opts Options) (*Result, error) {
	dir, err := os.MkdirTemp("", "berth-critest-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if opts.Timeout == 0 {
		opts.Timeout = 40 * time.Minute
	}
	report := filepath.Join(dir, "report.json")
	ctx, cancel := context.WithTimeout(ctx, opts.Timeout+time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, opts.Binary, opts.args(report)...)
	cmd.Dir = dir
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it cleans up its pods
	cmd.WaitDelay = 2 * time.Minute
	var tail bytes.Buffer
	cmd.Stdout = &tail
	if opts.Log != nil {
		cmd.Stdout = io.MultiWriter(&tail, opts.Log)
	}
	cmd.Stderr = cmd.Stdout
	runErr := cmd.Run()
	var exit *exec.ExitError
	if runErr != nil && !errors.As(runErr, &exit) {
		return nil, fmt.Errorf("running %s: %w", opts.Binary, runErr)
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("the validation suite did not end within %v: %w", opts.Timeout, ctx.Err())
	}
	result, err := readReport(report)
	if err != nil {
		out := tail.Bytes()
		return nil, fmt.Errorf("critest (%v) left no report: %w\n%s", runErr, err, out[max(0, len(out)-4000):])
	}
	return result, nil
}

func (o Options) args(report string) []string {
	endpoint := "unix://" + o.Socket
	args := []string{
		"-runtime-endpoint=" + endpoint, "-image-endpoint=" + endpoint,
		"-ginkgo.json-report=" + report, "-ginkgo.no-color", "-ginkgo.timeout=" + o.Timeout.String(),
		"-ginkgo.v", "-test.timeout=0",
	}
	if o.Handler != "" {
		args = append(args, "-runtime-handler="+o.Handler)
	}
	if o.WebSocket {
		args = append(args, "-websocket-exec", "-websocket-attach", "-websocket-portforward")
	}
	if o.Focus != "" {
		args = append(args, "-ginkgo.focus="+o.Focus)
	}
	if o.Skip != "" {
		args = append(args, "-ginkgo.skip="+o.Skip)
	}
	return args
}
