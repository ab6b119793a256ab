package service

import (
	"os"
	"os/exec"
	"slices"
	"sync"

	runc "github.com/containerd/go-runc"
)

// stdio are the container's ends of its standard streams.
type stdio struct {
	in, out, err *os.File
}

func (s stdio) close() {
	for _, f := range []*os.File{s.in, s.out, s.err} {
		if f != nil {
			f.Close()
		}
	}
}

// monitor starts the runtime's commands. It gives `create` of a registered container the
// container's own streams in place of /dev/null.
type monitor struct {
	runc.ProcessMonitor

	mu      sync.Mutex
	pending map[string]stdio
}

func newMonitor(inner runc.ProcessMonitor) *monitor {
	return &monitor{ProcessMonitor: inner, pending: make(map[string]stdio)}
}

// expect registers the streams that the next create of the container gets.
func (m *monitor) expect(id string, s stdio) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pending[id] = s
}

// forget drops what expect registered and reports whether a create had taken it.
func (m *monitor) forget(id string) (taken bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.pending[id]
	delete(m.pending, id)
	return !ok
}

func (m *monitor) take(args []string) (stdio, bool) {
	if len(args) == 0 || !slices.Contains(args, "create") {
		return stdio{}, false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	id := args[len(args)-1]
	s, ok := m.pending[id]
	delete(m.pending, id)
	return s, ok
}

func (m *monitor) replace(c *exec.Cmd) {
	s, ok := m.take(c.Args)
	if !ok {
		return
	}
	if s.in != nil {
		c.Stdin = s.in
	}
	c.Stdout, c.Stderr = s.out, s.err
}

// Start implements runc.ProcessMonitor.
func (m *monitor) Start(c *exec.Cmd) (chan runc.Exit, error) {
	m.replace(c)
	return m.ProcessMonitor.Start(c)
}

// StartLocked implements runc.ProcessMonitor.
func (m *monitor) StartLocked(c *exec.Cmd) (chan runc.Exit, error) {
	m.replace(c)
	return m.ProcessMonitor.StartLocked(c)
}
