package side

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// stopTimeout is how long a daemon may take to end.
const stopTimeout = 30 * time.Second

// process is a daemon that runs.
type process struct {
	program
	cmd    *exec.Cmd
	exited chan struct{}
}

// enter makes a process a member of a cgroup before it becomes the program, so that no
// child of it can be missed.
const enter = `echo $$ >"$0" && exec "$@"`

// start starts a program inside the cgroup whose cgroup.procs file is given.
func start(p program, procs string) (*process, error) {
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	r := &process{program: p, exited: make(chan struct{})}
	r.cmd = exec.Command("/bin/sh", append([]string{"-c", enter, procs, p.path}, p.args...)...)
	r.cmd.Dir = filepath.Dir(p.log)
	r.cmd.Stdout, r.cmd.Stderr = log, log
	// A Ctrl-C is for the benchmark, which stops its daemons when it has tidied up.
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error, 1)
	go func() {
		// The death signal is sent when the thread that started the process ends.
		runtime.LockOSThread()
		err := r.cmd.Start()
		started <- err
		if err == nil {
			_ = r.cmd.Wait()
		}
		close(r.exited)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", p.path, err)
	}
	return r, nil
}

func (p *process) alive() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// stop asks the process to end, and kills it when it does not.
func (p *process) stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
		return nil
	case <-time.After(stopTimeout):
		_ = p.cmd.Process.Kill()
		<-p.exited
		return fmt.Errorf("%s did not end within %s of SIGTERM", filepath.Base(p.path), stopTimeout)
	}
}
