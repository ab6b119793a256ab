// Package reap starts processes and waits for all children of this process, also for those that it
// became the parent of as a subreaper: a container's init is runc's child until runc exits.
package reap

import (
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Exit is the end of a process.
type Exit struct {
	// Code is the exit status, or 128 plus the signal.
	Code int
	At   time.Time
}

// Reaper hands every exit to whoever waits for the process.
type Reaper struct {
	mu      sync.Mutex
	waiting map[int]chan Exit
	// early has the exits of processes that nobody knew yet, kept while something is expected.
	early    map[int]Exit
	expected int
}

// New makes a Reaper. Somebody has to call Reap at every SIGCHLD.
func New() *Reaper {
	return &Reaper{waiting: make(map[int]chan Exit), early: make(map[int]Exit)}
}

// Command is a process to start.
type Command struct {
	// Path is the absolute path of the program, Args what follows its name.
	Path string
	Args []string
	Env  []string
	// Dir is the working directory; empty means this process's.
	Dir string
	// Files become the descriptors from 0 on; nil ones are /dev/null.
	Files []*os.File
	// UIDs and GIDs are the mappings of a user namespace of its own; without them it has none. With
	// them the process is stopped before its first instruction: it is there for the namespace.
	UIDs, GIDs []syscall.SysProcIDMap
}

// Start starts a process that dies with this one. The channel gets its exit.
func (r *Reaper) Start(c Command) (pid int, exited <-chan Exit, err error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return 0, nil, err
	}
	defer null.Close()
	attr := &syscall.ProcAttr{Dir: c.Dir, Env: c.Env, Sys: &syscall.SysProcAttr{
		// The signal comes when the thread that forks ends. Go's threads last as long as the process.
		Pdeathsig: syscall.SIGKILL,
	}}
	if c.UIDs != nil {
		attr.Sys.Cloneflags, attr.Sys.Ptrace = syscall.CLONE_NEWUSER, true
		attr.Sys.UidMappings, attr.Sys.GidMappings, attr.Sys.GidMappingsEnableSetgroups = c.UIDs, c.GIDs, true
	}
	for _, f := range c.Files {
		if f == nil {
			f = null
		}
		attr.Files = append(attr.Files, f.Fd())
	}
	r.mu.Lock() // an exit has to find its channel
	defer r.mu.Unlock()
	pid, err = syscall.ForkExec(c.Path, append([]string{filepath.Base(c.Path)}, c.Args...), attr)
	if err != nil {
		return 0, nil, &os.PathError{Op: "start", Path: c.Path, Err: err}
	}
	ch := make(chan Exit, 1)
	r.waiting[pid] = ch
	return pid, ch, nil
}

// Expect keeps the exits of unknown processes from now on until done is called: of a process that is
// about to become ours, whose PID is not known yet.
func (r *Reaper) Expect() (done func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.expected++
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.expected--; r.expected == 0 {
			clear(r.early)
		}
	}
}

// Watch returns a channel that gets the exit of a process that has become ours, also when it has
// ended already since Expect.
func (r *Reaper) Watch(pid int) <-chan Exit {
	r.mu.Lock()
	defer r.mu.Unlock()
	ch := make(chan Exit, 1)
	if e, ok := r.early[pid]; ok {
		delete(r.early, pid)
		ch <- e
		return ch
	}
	r.waiting[pid] = ch
	return ch
}

// Reap collects every child that has ended.
func (r *Reaper) Reap() error {
	for {
		var ws unix.WaitStatus
		pid, err := unix.Wait4(-1, &ws, unix.WNOHANG, nil)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.ECHILD || err == nil && pid == 0:
			return nil
		case err != nil:
			return err
		case ws.Stopped():
			continue // one that is there for its namespace
		}
		e := Exit{Code: ws.ExitStatus(), At: time.Now()}
		if ws.Signaled() {
			e.Code = 128 + int(ws.Signal())
		}
		r.ended(pid, e)
	}
}

func (r *Reaper) ended(pid int, e Exit) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if ch, ok := r.waiting[pid]; ok {
		delete(r.waiting, pid)
		ch <- e
	} else if r.expected > 0 {
		r.early[pid] = e
	}
}
