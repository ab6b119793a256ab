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

// Primer makes it quick to put a process into a cgroup, as OCI runtimes do with every container's first
// process, and with a command in a container where there is no cgroup v2 that it could be born into.
//
// The kernel has one lock for moving processes (cgroup_threadgroup_rwsem). It costs those who only read it,
// by fork, exec or exit, next to nothing as long as nobody writes; the first writer after a pause pays for
// that with an RCU grace period, some milliseconds, and whoever comes before another one has passed since
// pays nothing. Whoever knows that a container is about to start therefore takes the lock beforehand,
// by moving itself to where it is: then that wait is over when the OCI runtime gets there, instead of
// beginning there. What it costs others is what the runtime's own move costs them anyway. With the
// cgroup mount option favordynmods there is nothing to wait for, and nothing to gain.
//
// It is safe for concurrent use. A nil Primer does nothing, nor does one that may not write to its cgroup.
type Primer struct {
	take func() error // takes the lock once

	mu      sync.Mutex
	holders int
	running bool
	failed  sync.Once
}

const (
	// primeSoonest and primeLatest bound how long after taking the lock it is taken again: that is
	// primeLatest until there was a wait, and then half of the longest wait for it, which is one grace period or two;
	// it stays cheap for one. Where many want the lock, waits are longer, and it is taken less often.
	primeSoonest = 2 * time.Millisecond
	primeLatest  = 5 * time.Millisecond
	// primeWaited tells a wait for a grace period from none.
	primeWaited = 2 * time.Millisecond
	// primeFor bounds a Hold, whatever its holder waits for.
	primeFor = time.Second
)

// NewPrimer makes a Primer that moves this process to the cgroup it is in.
func (h *Host) NewPrimer() *Primer { return &Primer{take: (&stayer{host: h}).stay} }

// Hold has the lock taken in the background, now and again and again until release is called, which may
// be more than once, or for a second.
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

// run takes the lock until nobody holds the Primer any more.
func (p *Primer) run() {
	pause, waited := primeLatest, primeWaited
	for {
		began := time.Now()
		err := p.take()
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
		if p.over(err) {
			return
		}
	}
}

func (p *Primer) over(err error) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running = err == nil && p.holders > 0
	return !p.running
}

// stayer moves this process to the cgroup that it is in.
type stayer struct {
	host *Host
	// known is a cgroup.procs file in which this process has been found. In a container the path of a cgroup
	// can lead to another one.
	known string
}

// stay moves this process. Nobody else moves a daemon that has started: if somebody did in this very
// moment, stay would take that back.
func (s *stayer) stay() error {
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

func (s *stayer) join(procs string) error {
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

// lists says that there is a line with the number.
func lists(r io.Reader, pid int) bool {
	want := strconv.Itoa(pid)
	for s := bufio.NewScanner(r); s.Scan(); {
		if s.Text() == want {
			return true
		}
	}
	return false
}

// own are the directories of the cgroups in /proc/<pid>/cgroup. Those without resource controllers
// come first: nothing depends on being in them.
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

// mount is where a v1 controller, or "" for v2, is mounted; empty if it is not.
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
