package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	startTimeout = 60 * time.Second
	stopTimeout  = 60 * time.Second
)

// process is a program that tells by sd_notify(3) when it is ready.
type process struct {
	name   string
	cmd    *exec.Cmd
	exited chan struct{}
	err    error // of Wait, once exited is closed
	beats  atomic.Int64
}

// startProcess runs a program with its output appended to log, and returns when it is
// ready. dir is for the socket on which it says so.
func startProcess(ctx context.Context, dir, log, program string, args, env []string) (*process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p := &process{name: filepath.Base(program), exited: make(chan struct{})}
	notify, err := listenNotify(filepath.Join(dir, p.name+".notify"))
	if err != nil {
		return nil, err
	}
	p.cmd = exec.Command(program, args...)
	p.cmd.Dir = dir
	p.cmd.Env = append(append(os.Environ(), "NOTIFY_SOCKET="+notify.LocalAddr().String()), env...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	// A Ctrl-C is for the tests, which stop it when they have tidied up.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := p.run(notify); err != nil {
		notify.Close()
		return nil, fmt.Errorf("starting %s: %w", program, err)
	}
	if err := p.await(ctx, notify); err != nil {
		p.kill()
		return nil, err
	}
	return p, nil
}

// run starts the program on a thread that lives as long as it does: the death signal is
// sent when the thread that started it ends. The socket is closed with its end.
func (p *process) run(notify io.Closer) error {
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.err = p.cmd.Wait()
			notify.Close()
		}
		close(p.exited)
	}()
	return <-started
}

func (p *process) await(ctx context.Context, notify *net.UnixConn) error {
	said := make(chan error, 2)
	go p.listen(notify, said)
	select {
	case err := <-said:
		return err
	case <-p.exited:
		return fmt.Errorf("%s ended at its start: %v", p.name, p.cmd.ProcessState)
	case <-time.After(startTimeout):
		return fmt.Errorf("%s was not ready after %s", p.name, startTimeout)
	case <-ctx.Done():
		return fmt.Errorf("waiting for %s: %w", p.name, ctx.Err())
	}
}

func listenNotify(path string) (*net.UnixConn, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
}

// listen takes what the process says: that it is ready, which goes to said, and then
// that it lives, until it ends.
func (p *process) listen(conn *net.UnixConn, said chan<- error) {
	buf := make([]byte, 4096)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			select {
			case said <- err:
			default:
			}
			return
		}
		for line := range strings.Lines(string(buf[:n])) {
			switch strings.TrimSpace(line) {
			case "READY=1":
				select {
				case said <- nil:
				default: // again, after a reload
				}
			case "WATCHDOG=1":
				p.beats.Add(1)
			}
		}
	}
}

// pid of the process, 0 when it has ended.
func (p *process) pid() int {
	if p == nil || !p.alive() {
		return 0
	}
	return p.cmd.Process.Pid
}

func (p *process) alive() bool {
	if p == nil {
		return false // it never came up
	}
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// kill ends the process without giving it a chance to tidy up.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// stop asks the process to end; an error is one that does not, or ends badly.
func (p *process) stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(stopTimeout):
		_ = p.cmd.Process.Signal(syscall.SIGQUIT) // shows what it was doing
		select {
		case <-p.exited:
		case <-time.After(5 * time.Second):
			p.kill()
		}
		return fmt.Errorf("%s did not end within %s of SIGTERM", p.name, stopTimeout)
	}
	if p.err != nil {
		return fmt.Errorf("%s: %w", p.name, p.err)
	}
	return nil
}
