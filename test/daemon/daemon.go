package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/config"
	"github.com/berth-run/berth/internal/statedir"
	"github.com/berth-run/berth/test/host"
	"github.com/berth-run/berth/test/images"
)

// Daemon is a berthd with directories, a network and a containerd of its own.
type Daemon struct {
	Options
	// Dir holds everything that the daemon writes.
	Dir string
	// Socket is the path of the CRI socket.
	Socket string
	// Configuration is what the daemon works with, defaults filled in.
	Configuration *config.Config
	// Runtime and Image are clients of the CRI socket. They outlive restarts of the
	// daemon; a call while it is down fails with Unavailable.
	Runtime runtimeapi.RuntimeServiceClient
	Image   runtimeapi.ImageServiceClient

	conn       *grpc.ClientConn
	berthd     *process
	containerd *process
	pods       atomic.Int64 // numbers the names of pods
	logSeen    int64        // how much of the log a test has been shown
	lastLog    string       // of a daemon that is closed
	before     host.Snapshot
	started    host.Snapshot
}

// Start starts a daemon that ends with the test. The test fails when something is left
// on the host then; the end of the daemon's log is shown when the test has failed.
func Start(t testing.TB, opts Options) *Daemon {
	t.Helper()
	Require(t)
	d, err := Launch(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		err := d.Close()
		if err != nil {
			t.Errorf("after the test: %v", err)
		}
		if t.Failed() {
			t.Log(d.lastLog)
		}
	})
	return d
}

// Launch starts a daemon that lives until Close.
func Launch(ctx context.Context, opts Options) (_ *Daemon, err error) {
	if opts.BinDir == "" {
		if opts.BinDir, err = BinDir(); err != nil {
			return nil, err
		}
	}
	// Short: a socket's path has 107 characters at most.
	dir, err := os.MkdirTemp("", "bt-")
	if err != nil {
		return nil, err
	}
	d := &Daemon{Options: opts, Dir: dir}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("%w\n%s", err, d.Log()), d.discard())
		}
	}()
	if err := d.prepare(); err != nil {
		return nil, err
	}
	if d.before, err = host.Take(ctx, d.deadScope()); err != nil {
		return nil, err
	}
	if err := d.startContainerd(ctx); err != nil {
		return nil, err
	}
	if err := d.startBerthd(ctx); err != nil {
		return nil, err
	}
	d.started, err = host.Take(ctx, d.liveScope())
	return d, err
}

// prepare makes the directory and everything that berthd finds there.
func (d *Daemon) prepare() error {
	if err := os.Chmod(d.Dir, 0o711); err != nil { // users of a user namespace have to get through
		return err
	}
	if d.Certs == "" {
		reg, err := shared()
		if err != nil {
			return err
		}
		d.Certs = filepath.Join(d.Dir, "certs.d")
		if err := reg.WriteHosts(d.Certs, images.Upstreams()...); err != nil {
			return err
		}
	}
	if err := os.WriteFile(d.configFile(), []byte(d.Config), 0o644); err != nil {
		return err
	}
	root, state := filepath.Join(d.Dir, "root"), filepath.Join(d.Dir, "run")
	if d.LongState {
		state += strings.Repeat("n", statedir.Max(true)-len(state))
	}
	conf, err := config.Load(config.LoadOptions{
		File: d.configFile(), Overrides: config.Overrides{Root: &root, State: &state},
	})
	if err != nil {
		return err
	}
	d.Configuration, d.Socket = conf, conf.Address
	return d.dial()
}

func (d *Daemon) configFile() string { return filepath.Join(d.Dir, "config.toml") }

func (d *Daemon) args() []string {
	level := d.LogLevel
	if level == "" {
		level = "debug"
	}
	args := []string{
		"--config", d.configFile(), "--root", d.Configuration.Root, "--state", d.Configuration.State,
		"--registry-config-dir", d.Certs, "--log-level", level,
	}
	if d.External {
		args = append(args, "--containerd-address", d.externalSocket())
	}
	return args
}

func (d *Daemon) startBerthd(ctx context.Context) (err error) {
	if d.berthd != nil && d.berthd.alive() {
		return errors.New("berthd runs already")
	}
	d.berthd, err = startProcess(ctx, d.Dir, d.logFile(), filepath.Join(d.BinDir, "berthd"), d.args(), d.Env)
	if err != nil {
		return err
	}
	return d.connected(ctx)
}

// PID of berthd, 0 while it does not run.
func (d *Daemon) PID() int { return d.berthd.pid() }

// ContainerdPID is that of an external containerd, 0 while there is none.
func (d *Daemon) ContainerdPID() int { return d.containerd.pid() }

// SignsOfLife is how often berthd has told the watchdog that it lives; it does so when
// its environment has WATCHDOG_USEC.
func (d *Daemon) SignsOfLife() int64 { return d.berthd.beats.Load() }

// Exited is closed when the berthd that runs now has ended.
func (d *Daemon) Exited() <-chan struct{} { return d.berthd.exited }

// Kill ends berthd with SIGKILL.
func (d *Daemon) Kill(t testing.TB) {
	t.Helper()
	if !d.berthd.alive() {
		t.Fatalf("berthd had ended by itself: %v", d.berthd.cmd.ProcessState)
	}
	d.berthd.kill()
}

// Stop ends berthd with SIGTERM and waits for it.
func (d *Daemon) Stop(t testing.TB) {
	t.Helper()
	if !d.berthd.alive() {
		t.Fatalf("berthd had ended by itself: %v", d.berthd.cmd.ProcessState)
	}
	if err := d.berthd.stop(); err != nil {
		t.Fatal(err)
	}
}

// Start starts berthd again, after Kill or Stop.
func (d *Daemon) Start(t testing.TB) {
	t.Helper()
	if err := d.startBerthd(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// Restart stops and starts berthd.
func (d *Daemon) Restart(t testing.TB) {
	t.Helper()
	d.Stop(t)
	d.Start(t)
}

// KillContainerd ends an external containerd with SIGKILL.
func (d *Daemon) KillContainerd(t testing.TB) {
	t.Helper()
	if d.ContainerdPID() == 0 {
		t.Fatal("there is no external containerd, or it has ended by itself")
	}
	d.containerd.kill()
}

// StartContainerd starts an external containerd again.
func (d *Daemon) StartContainerd(t testing.TB) {
	t.Helper()
	if err := d.startContainerd(t.Context()); err != nil {
		t.Fatal(err)
	}
}
