package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/berth-run/berth/shim/api"
	"github.com/berth-run/berth/shim/cgroups"
	"github.com/berth-run/berth/shim/crilog"
	"github.com/berth-run/berth/shim/ociruntime"
	"github.com/berth-run/berth/shim/reap"
	"github.com/berth-run/berth/shim/rootfs"
	"github.com/berth-run/berth/shim/taskapi"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// container is one container with its task.
type container struct {
	id      string
	runtime *ociruntime.Runtime
	options taskapi.Options
	rootfs  string // where this shim mounted the root file system; empty: nowhere
	stdio   taskapi.Stdio

	cfg api.IOConfig
	// own is set when the shim serves the streams, that is, when cfg came with the task.
	own bool

	log     *crilog.File // nil: not logged
	readers []*reader
	fan     fanout
	stdin   *stdin // nil: no stdin
	console *os.File
	relay   *relay // the streams of a container that are not the shim's own

	pid    int
	pidfd  int
	group  cgroups.Group
	shared bool // the PID namespace is not init's own: others survive init
	exited <-chan reap.Exit

	// op is held by what must not overlap: start, pause, resume, update, delete.
	op sync.Mutex
	// starting is held during Start, so that the exit of a short process comes after its start.
	starting sync.Mutex
	// dead is closed when init has ended, done when that is recorded.
	dead, done chan struct{}

	mu       sync.Mutex // guards what follows, and the status file
	record   api.Record
	phase    taskapi.Status // Stopped is told by dead
	exit     reap.Exit
	execs    map[string]*execution
	lastExec uint64
}

// inspect looks at the process that the runtime has created.
func (c *container) inspect() {
	var err error
	if c.pidfd, err = unix.PidfdOpen(c.pid, 0); err != nil {
		c.pidfd = -1 // it has ended
	}
	if c.group, err = cgroups.Of(c.pid); err != nil {
		logf("container %s: cannot find its cgroup: %v", c.id, err)
	}
	c.shared = !leadsNamespace(c.pid)
}

// leadsNamespace reports whether the process is the first of its PID namespace, whose end is the end of all
// others in it.
func leadsNamespace(pid int) bool {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(data), "\nNSpid:")
	line, _, _ := strings.Cut(rest, "\n")
	f := strings.Fields(line)
	return len(f) > 1 && f[len(f)-1] == "1"
}

// created fills the record in.
func (c *container) created() api.Record {
	return c.update(func(r *api.Record) {
		*r = api.Record{
			Version: api.RecordVersion, ID: c.id, PID: c.pid, State: api.StateCreated,
			CreatedAt: time.Now(), LogPath: c.cfg.LogPath,
		}
	})
}

// update changes the record, writes the status file and returns the new record.
func (c *container) update(change func(*api.Record)) api.Record {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.record)
	if c.log != nil {
		st := c.log.Stats()
		c.record.LogBytes, c.record.LogDroppedBytes = st.Bytes, st.Lost.Bytes
		c.record.LogError = ""
		if st.Err != nil {
			c.record.LogError = st.Err.Error()
		}
	}
	if err := c.writeStatus(); err != nil {
		logf("container %s: cannot write the status file, the record is in memory only: %v", c.id, err)
	}
	return c.record
}

func (c *container) writeStatus() error {
	if c.cfg.StatusFile == "" {
		return nil
	}
	data, err := json.Marshal(c.record)
	if err != nil {
		return err
	}
	return api.WriteFileAtomic(c.cfg.StatusFile, append(data, '\n'), 0o600)
}

// state is the state of the record.
func (c *container) state() api.State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.record.State
}

// status is the Task API's.
func (c *container) status() taskapi.Status {
	if closed(c.dead) {
		return taskapi.Stopped
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.phase
}

func (c *container) setPhase(s taskapi.Status) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.phase = s
}

// exitStatus is how init ended; zero as long as it has not.
func (c *container) exitStatus() (uint32, time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return uint32(c.exit.Code), c.exit.At
}

// signal sends a signal to init, with SIGKILL also to those that would survive it.
func (c *container) signal(sig unix.Signal) error {
	if sig == unix.SIGKILL {
		if c.shared {
			return c.group.Kill()
		}
		defer c.group.Thaw()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var err error = unix.ESRCH
	if c.pidfd >= 0 {
		err = unix.PidfdSendSignal(c.pidfd, sig, nil, 0)
	}
	switch {
	case err == unix.ESRCH:
		return fmt.Errorf("process already finished: %w", errdefs.ErrNotFound)
	case err != nil:
		return fmt.Errorf("send signal %d to container %s: %w", sig, c.id, err)
	}
	return nil
}

// dismantle removes what is left of a container whose init has ended. It can be repeated.
func (c *container) dismantle(ctx context.Context) error {
	if err := c.runtime.Delete(ctx); err != nil {
		return err
	}
	c.closeRelay()
	if c.rootfs != "" {
		if err := rootfs.Unmount(c.rootfs); err != nil {
			return err
		}
	}
	c.closePIDFD()
	if err := os.Remove(filepath.Join(c.runtime.Bundle, optionsFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func (c *container) closePIDFD() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pidfd >= 0 {
		unix.Close(c.pidfd)
		c.pidfd = -1
	}
}

// closed reports whether a channel which is only ever closed is.
func closed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}
