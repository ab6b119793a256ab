package service

import (
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/berth-run/berth/shim"
	"github.com/berth-run/berth/shim/crilog"
	taskAPI "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/containerd/typeurl/v2"
)

// container is what this shim keeps beside the task service's own state of a container.
type container struct {
	id  string
	cfg shim.IOConfig
	// own is set when the shim serves the streams, that is, when cfg came with the task.
	own bool

	log     *crilog.File // nil: not logged
	readers []*reader
	fan     fanout
	stdin   *stdin // nil: no stdin

	memDir string // memory cgroup, see oom.go
	memV2  bool

	// starting is held during Start, so that the exit of a short process comes after its start.
	starting sync.Mutex
	// done is closed when the exit is recorded.
	done chan struct{}

	mu     sync.Mutex // guards record and the status file
	record shim.Record
	oomHit bool
}

// update changes the record, writes the status file and returns the new record.
func (c *container) update(change func(*shim.Record)) shim.Record {
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
		log.L.WithError(err).WithField("id", c.id).Error("cannot write the status file; the record is in memory only")
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
	return shim.WriteFileAtomic(c.cfg.StatusFile, append(data, '\n'), 0o600)
}

// state is the state of the record.
func (c *container) state() shim.State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.record.State
}

// noteOOM remembers that the task service has seen an OOM kill.
func (c *container) noteOOM() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.oomHit = true
}

// plumbing is what is set up before runc create and settled after it.
type plumbing struct {
	ours   streams
	theirs stdio
	tty    *ttyFIFOs
}

// plumb opens the log, makes the container's streams and rewrites the request so that the task
// service uses them.
func (c *container) plumb(m *monitor, r *taskAPI.CreateTaskRequest) (p plumbing, err error) {
	if c.cfg.TTY != r.Terminal {
		return p, fmt.Errorf("stdout %q and terminal=%t contradict each other: %w", r.Stdout, r.Terminal, errdefs.ErrInvalidArgument)
	}
	if c.cfg.LogPath != "" {
		if c.log, err = crilog.Open(c.cfg.LogPath); err != nil {
			return p, err
		}
	}
	r.Stdin, r.Stdout, r.Stderr = "", "", ""
	if c.cfg.TTY {
		t, err := newTTYFIFOs(r.Bundle, c.cfg.Stdin)
		if err != nil {
			return p, err
		}
		p.tty = &t
		r.Stdin, r.Stdout = t.stdinPath, t.stdoutPath
		return p, nil
	}
	uid, gid, err := ioOwner(r)
	if err != nil {
		return p, err
	}
	if p.ours, p.theirs, err = newPipes(c.cfg.Stdin, uid, gid); err != nil {
		return p, err
	}
	m.expect(c.id, p.theirs)
	return p, nil
}

// ioOwner is the owner of the container's streams: root of its user namespace.
func ioOwner(r *taskAPI.CreateTaskRequest) (uid, gid int, err error) {
	if r.Options.GetValue() == nil {
		return 0, 0, nil
	}
	v, err := typeurl.UnmarshalAny(r.Options)
	if err != nil {
		return 0, 0, fmt.Errorf("runtime options: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	o, ok := v.(*options.Options)
	if !ok {
		return 0, 0, fmt.Errorf("runtime options of type %T, want runc's: %w", v, errdefs.ErrInvalidArgument)
	}
	return int(o.IoUid), int(o.IoGid), nil
}

// connect starts reading after the container has been created.
func (c *container) connect(p *plumbing, bufs *bufPool) error {
	if p.tty != nil {
		if err := p.tty.opened(); err != nil {
			return fmt.Errorf("open the terminal's output: %w", err)
		}
		p.ours = p.tty.streams
	}
	if p.ours.in != nil {
		c.stdin = newStdin(p.ours.in, c.cfg.StdinOnce && !c.cfg.TTY)
	}
	c.read(p.ours.out, shim.StreamStdout, crilog.Stdout, bufs)
	c.read(p.ours.err, shim.StreamStderr, crilog.Stderr, bufs)
	return nil
}

func (c *container) read(f *os.File, id shim.StreamID, name string, bufs *bufPool) {
	if f == nil {
		return
	}
	r := &reader{f: f, id: id, fan: &c.fan, bufs: bufs, done: make(chan struct{})}
	if c.log != nil {
		limit := c.cfg.MaxLineBytes
		if limit == 0 {
			limit = shim.DefaultMaxLineBytes
		}
		r.log = c.log.Stream(name, limit, c.cfg.TTY)
	}
	c.readers = append(c.readers, r)
	go r.run()
}

// abandon undoes plumb when the container was not created.
func (c *container) abandon(p *plumbing) {
	p.ours.close()
	if p.tty != nil {
		p.tty.close()
	}
	if c.log != nil {
		c.log.Close()
	}
}

// created fills the record in.
func (c *container) created(pid int) shim.Record {
	c.memDir, c.memV2 = memoryCgroup(pid)
	return c.update(func(r *shim.Record) {
		*r = shim.Record{
			Version: shim.RecordVersion, ID: c.id, PID: pid, State: shim.StateCreated,
			CreatedAt: time.Now(), LogPath: c.cfg.LogPath,
		}
	})
}
