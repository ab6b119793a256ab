package cgroup

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"k8s.io/klog/v2"
)

// Primer makes it quick to put a process into a cgroup. OCI runtimes do that with the first process of every container,
// and with every command in a container on a host where a process cannot be born into a cgroup v2.
//
// The kernel has one lock for moving processes between cgroups (cgroup_threadgroup_rwsem). fork, exec and exit take it
// for reading, which costs next to nothing. The first write after a pause waits for an RCU grace period, a few
// milliseconds; writes that follow within one grace period do not wait. So a Primer writes just before the OCI runtime
// will: it moves this process to the cgroup where it is already, again and again until the container has started.
// The runtime's own write then finds the wait over. Other processes pay for the Primer's write what they pay for the
// runtime's write anyway. With the cgroup mount option favordynmods no write waits, and there is nothing to gain.
//
// A Primer is safe for concurrent use. A nil Primer does nothing, and so does one that may not write to its cgroup.
type Primer struct {
	write func() error // takes the lock for writing, once

	mu      sync.Mutex
	holders int
	running bool
	failed  sync.Once
}

const (
	// A Primer writes again primeLatest after its last write. Once a write has waited, it writes again after half of the
	// longest wait so far, at least primeSoonest: a wait is one grace period or two, and a write is free within one. Where
	// many processes write, waits are longer, and the Primer writes less often.
	primeSoonest = 2 * time.Millisecond
	primeLatest  = 5 * time.Millisecond
	// primeWaited is the shortest time that counts as a wait for a grace period.
	primeWaited = 2 * time.Millisecond
	// primeFor ends a Hold that nobody has released.
	primeFor = time.Second
)

// NewPrimer makes a Primer that moves this process to the cgroup it is in.
func (h *Host) NewPrimer() *Primer { return &Primer{write: (&selfMover{host: h}).move} }

// Hold makes the Primer write in the background, at once and again and again, until release is called or a second is
// over. release may be called more than once.
func (p *Primer) Hold() (release func()) {
	if p == nil {
		return func() {}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.holders++
	if !p.running {
		p.running = true
		go p.run()
	}
	drop := sync.OnceFunc(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.holders--
	})
	limit := time.AfterFunc(primeFor, drop)
	return func() { limit.Stop(); drop() }
}

// run writes until nobody holds the Primer any more.
func (p *Primer) run() {
	pause, waited := primeLatest, primeWaited
	for {
		began := time.Now()
		err := p.write()
		if took := time.Since(began); took > waited {
			waited = took
			pause = min(max(took/2, primeSoonest), primeLatest)
		}
		if err != nil {
			p.failed.Do(func() {
				klog.V(2).InfoS("Cannot prepare moves between cgroups; containers start a little later", "err", err)
			})
		} else {
			time.Sleep(pause)
		}
		if p.isOver(err) {
			return
		}
	}
}

// isOver reports whether run ends: nobody holds the Primer, or the last write failed.
func (p *Primer) isOver(err error) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running = err == nil && p.holders > 0
	return !p.running
}

// selfMover moves this process to the cgroup in which it is already.
type selfMover struct {
	host *Host
	// known is a cgroup.procs file in which this process has been found. It is looked for because in a container the
	// path of a cgroup can lead to another cgroup.
	known string
}

// move moves this process. If somebody moved it to another cgroup in the same moment, move would take that back;
// nobody moves a daemon that has started.
func (s *selfMover) move() error {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return err
	}
	errs := []error{fmt.Errorf("no cgroup of this process is below %s: %w", s.host.Root, errdefs.ErrNotFound)}
	for _, dir := range s.host.own(string(text)) {
		err := s.join(filepath.Join(dir, "cgroup.procs"))
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// join writes this process to a cgroup.procs file that has the process already.
func (s *selfMover) join(procs string) error {
	f, err := os.OpenFile(procs, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if procs != s.known {
		if !lists(f, os.Getpid()) {
			return fmt.Errorf("this process is not in %s: %w", procs, errdefs.ErrNotFound)
		}
		s.known = procs
	}
	_, err = f.WriteString("0") // the process that writes
	return err
}

// lists reports whether there is a line with the number.
func lists(r io.Reader, pid int) bool {
	want := strconv.Itoa(pid)
	for s := bufio.NewScanner(r); s.Scan(); {
		if s.Text() == want {
			return true
		}
	}
	return false
}

// own lists the directories of the cgroups that a /proc/<pid>/cgroup names. Hierarchies without resource controllers come
// first: no limit depends on being in them.
func (h *Host) own(text string) []string {
	dirs := map[string]string{}
	for line := range strings.Lines(text) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(f) != 3 || strings.Contains(f[2], "/..") { // outside of what this cgroup namespace shows
			continue
		}
		name, _, _ := strings.Cut(f[1], ",")
		if mount := h.mount(name); mount != "" {
			dirs[name] = filepath.Join(mount, f[2])
		}
	}
	var out []string
	for _, name := range []string{"", "name=systemd", "pids", "memory"} {
		if dir := dirs[name]; dir != "" {
			out = append(out, dir)
		}
	}
	return out
}

// mount is the directory where a v1 controller is mounted, or for "" the v2 hierarchy. It is empty where that is not
// mounted.
func (h *Host) mount(controller string) string {
	switch {
	case controller != "":
		return h.Controllers[controller]
	case h.Mode == Unified:
		return h.Root
	case h.Mode == Hybrid:
		return filepath.Join(h.Root, "unified")
	}
	return ""
}
