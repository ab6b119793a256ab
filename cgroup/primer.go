package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
)

// Primer makes it quick to put a process into a cgroup, which the OCI runtime does at every start of a
// container and at every exec.
//
// The kernel has one lock for moving processes (cgroup_threadgroup_rwsem) that costs its readers, fork and
// exit, nothing as long as nobody writes. The first writer after a pause pays for that with an RCU grace
// period, 5 to 12 ms; those that come before the next one is over pay nothing. Who knows that a
// container is about to start therefore takes the lock beforehand, by moving itself to where it
// is: then the wait is over when the OCI runtime has loaded, rather than beginning there.
//
// It is safe for concurrent use. A nil Primer does nothing, nor does one that may not write to its cgroup.
type Primer struct {
	take func() error // takes the lock once

	mu      sync.Mutex
	holders int
	running bool
}

const (
	// primeAgain is how long after taking the lock it is taken again: a grace period, as long as one
	// takes here, but no longer than this.
	primeAgain = 8 * time.Millisecond
	// primeWaited is what tells a wait for a grace period from none.
	primeWaited = 2 * time.Millisecond
	// primeFor bounds a Hold, whatever its holder waits for.
	primeFor = 2 * time.Second
)

// NewPrimer makes a Primer that moves this process to the cgroup it is in.
func (h *Host) NewPrimer() *Primer { return &Primer{take: h.stay} }

// Hold has the lock taken now, in the background, and again and again until release is called, which may be
// more than once, or for two seconds.
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
	for pause := primeAgain; ; {
		began := time.Now()
		err := p.take()
		if took := time.Since(began); took > primeWaited {
			pause = min(took, primeAgain)
		}
		if err == nil {
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

// stay moves this process to the cgroup that it is in. Which one that is is asked every time, so as not
// to take it back from where somebody else has put it.
func (h *Host) stay() error {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return err
	}
	dir, err := h.plainest(string(text))
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(dir, "cgroup.procs"), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString("0") // whoever writes
	return errors.Join(err, f.Close())
}

// plainest is the directory of the cgroup in /proc/<pid>/cgroup that has the fewest controllers, each of
// which takes part in a move.
func (h *Host) plainest(text string) (string, error) {
	dirs := map[string]string{}
	for line := range strings.Lines(text) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(f) != 3 {
			continue
		}
		mount := h.Root
		switch {
		case f[1] == "" && h.Mode == Hybrid:
			mount = filepath.Join(h.Root, "unified")
		case f[1] != "":
			name, _, _ := strings.Cut(f[1], ",")
			if mount = h.Controllers[name]; mount == "" {
				continue
			}
			f[1] = name
		case h.Mode == Legacy:
			continue // not mounted
		}
		dirs[f[1]] = filepath.Join(mount, f[2])
	}
	for _, name := range []string{"", "name=systemd", "pids", "memory"} {
		if dir := dirs[name]; dir != "" {
			return dir, nil
		}
	}
	return "", fmt.Errorf("no cgroup of this process is below %s: %w", h.Root, errdefs.ErrNotFound)
}
