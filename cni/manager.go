package cni

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/containerd/errdefs"
	"github.com/containernetworking/cni/libcni"
)

// Manager attaches pods to networks. It is safe for concurrent use.
type Manager struct {
	opts Options
	exec *pluginExec
	cni  *libcni.CNIConfig
	pods keyLock

	// current is what Status and Attach read, replaced as a whole.
	current atomic.Pointer[state]

	// load guards what a new state is made from; never held while a plugin runs.
	load struct {
		sync.Mutex
		podCIDR []netip.Prefix
		verdict verdict
	}

	// attached are the pods that this process attached or is attaching: GC must not touch them,
	// though its caller may have listed the pods before. gate stops new ones while a GC verb runs.
	attached struct {
		sync.Mutex
		pods map[string]struct{}
	}
	gate sync.RWMutex

	// detached remembers the latest pods whose DEL is done, so that repeating it costs nothing.
	detached recent

	// idleBridges were found idle by the last GC; the next one deletes them.
	idleBridges recent

	// changed wakes Run after SetPodCIDR.
	changed chan struct{}
}

// state is one picture of the configuration.
type state struct {
	networks    []*network
	podCIDR     []netip.Prefix
	fingerprint string
	status      Status
}

// New checks the options, creates the cache directory and loads the configuration once,
// so that Status and Attach are right before Run has begun.
func New(opts Options) (*Manager, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	m := &Manager{opts: opts, changed: make(chan struct{}, 1)}
	m.attached.pods = map[string]struct{}{}
	if err := os.MkdirAll(m.recordDir(), 0o700); err != nil {
		return nil, fmt.Errorf("CNI cache: %w", err)
	}
	m.exec = &pluginExec{timeouts: opts.Timeouts, observer: opts.Observer}
	if opts.Default.Enabled && opts.Default.backend() == "nftables" {
		if m.exec.toolDir, err = prepareToolDir(opts.CacheDir); err != nil {
			return nil, fmt.Errorf("CNI tool directory: %w", err)
		}
	}
	m.cni = libcni.NewCNIConfigWithCacheDir(opts.BinDirs, opts.CacheDir, m.exec)
	m.reload()
	return m, nil
}

// Status never waits.
func (m *Manager) Status() Status {
	s := m.current.Load().status
	s.Skipped = slices.Clone(s.Skipped)
	return s
}

// networks gives the networks to attach a pod to, Unavailable when there are none.
func (m *Manager) networks() (*state, error) {
	s := m.current.Load()
	if len(s.networks) == 0 {
		return nil, fmt.Errorf("no pod network: %s: %w", s.status.Message, errdefs.ErrUnavailable)
	}
	return s, nil
}

// run prepares the context of a libcni call for one network.
func (m *Manager) run(ctx context.Context, builtin bool, rec *record) context.Context {
	return withRun(ctx, runInfo{builtin: builtin, lock: rec})
}

// runAdd is run for the ADD of the record's n-th network.
func (m *Manager) runAdd(ctx context.Context, rec *record, n int) context.Context {
	return withRun(ctx, runInfo{builtin: rec.data.Networks[n].Builtin, network: n, lock: rec})
}

// hold marks a pod as attached by this process, before its first plugin runs.
func (m *Manager) hold(podID string) {
	m.gate.RLock()
	defer m.gate.RUnlock()
	m.attached.Lock()
	defer m.attached.Unlock()
	m.attached.pods[podID] = struct{}{}
	m.detached.remove(podID)
}

func (m *Manager) letGo(podID string) {
	m.attached.Lock()
	defer m.attached.Unlock()
	delete(m.attached.pods, podID)
	m.detached.add(podID)
}

func (m *Manager) holds(podID string) bool {
	m.attached.Lock()
	defer m.attached.Unlock()
	_, ok := m.attached.pods[podID]
	return ok
}

// recent is a set of the last few keys.
type recent struct {
	sync.Mutex
	keys []string
}

const recentKeys = 1024

func (r *recent) add(key string) {
	r.Lock()
	defer r.Unlock()
	if len(r.keys) == recentKeys {
		r.keys = r.keys[1:]
	}
	r.keys = append(r.keys, key)
}

func (r *recent) remove(key string) {
	r.Lock()
	defer r.Unlock()
	r.keys = slices.DeleteFunc(r.keys, func(k string) bool { return k == key })
}

func (r *recent) has(key string) bool {
	r.Lock()
	defer r.Unlock()
	return slices.Contains(r.keys, key)
}
