package metrics

import (
	"runtime"
	"sync"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/cgroup"
)

// pass is the outcome of measuring everything once. It is constant once made.
type pass struct {
	at         time.Time
	took       time.Duration
	pods       []*podSample
	containers []*containerSample
	podByID    map[string]*podSample
	ctrByID    map[string]*containerSample
}

// measured is what pods and containers have in common.
type measured struct {
	Sample
	at    time.Time
	group group
	// nanoCores is the CPU use per second since the pass before; nil when there was none.
	nanoCores *uint64
	// base is what the next rate is computed from; nil means CPU.
	base *CPU
}

// podSample is one pod of a pass.
type podSample struct {
	measured
	ref        PodRef
	containers []*containerSample
	interfaces []Interface
	networkAt  time.Time // zero when the network was not read
}

// containerSample is one container of a pass.
type containerSample struct {
	measured
	ref   ContainerRef
	pod   *podSample // nil when the source does not list it
	layer *LayerUsage
}

// measure reads everything that runs, on as many processors as there are.
func (s *Sampler) measure(prev *pass) *pass {
	start := time.Now()
	p := s.index()
	work := make(chan func(*files))
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), 4) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			f := &files{}
			for fn := range work {
				fn(f)
			}
		}()
	}
	for _, c := range p.containers {
		work <- func(f *files) { s.measureContainer(f, c, prev.ctrByID[c.ref.ID]) }
	}
	for _, pod := range p.pods {
		work <- func(f *files) { s.measurePod(f, pod, prev.podByID[pod.ref.ID]) }
	}
	close(work)
	wg.Wait()
	for _, pod := range p.pods {
		pod.sumUp(prev.podByID[pod.ref.ID])
	}
	if s.opts.Usage != nil {
		s.opts.Usage.prune(p.layers())
	}
	p.at, p.took = time.Now(), time.Since(start)
	return p
}

// index lists what there is and tells which cgroup is whose.
func (s *Sampler) index() *pass {
	pods, ctrs := s.src.Pods(), s.src.Containers()
	p := &pass{podByID: make(map[string]*podSample, len(pods)), ctrByID: make(map[string]*containerSample, len(ctrs))}
	users := map[string]int{}
	for _, ref := range pods {
		pod := &podSample{ref: ref}
		p.pods = append(p.pods, pod)
		p.podByID[ref.ID] = pod
		if ref.State == runtimeapi.PodSandboxState_SANDBOX_READY {
			users[ref.CgroupParent]++
		}
	}
	for _, pod := range p.pods {
		// A parent that several pods share, or the root, says nothing of one pod.
		parent := pod.ref.CgroupParent
		if users[parent] == 1 && parent != "" && cgroup.Relative(parent) != "/" {
			pod.group = s.group(parent)
		}
	}
	for _, ref := range ctrs {
		c := &containerSample{ref: ref, pod: p.podByID[ref.PodID]}
		if ref.CgroupPath != "" {
			c.group = s.group(ref.CgroupPath)
		}
		if c.pod != nil {
			c.pod.containers = append(c.pod.containers, c)
		}
		p.containers = append(p.containers, c)
		p.ctrByID[ref.ID] = c
	}
	return p
}

func (s *Sampler) group(path string) group {
	return group{unified: s.host.Mode == cgroup.Unified, dirs: s.host.Resolve(path)}
}

func (s *Sampler) measureContainer(f *files, c *containerSample, prev *containerSample) {
	c.at = time.Now()
	if s.opts.Usage != nil && c.ref.SnapshotKey != "" {
		if u, ok := s.opts.Usage.Get(c.ref.Snapshotter, c.ref.SnapshotKey); ok {
			c.layer = &u
		}
	}
	if c.running() {
		s.readAll(f, &c.measured)
	}
	if prev != nil {
		c.rate(&prev.measured)
	}
}

func (s *Sampler) measurePod(f *files, p *podSample, prev *podSample) {
	p.at = time.Now()
	if p.ref.State != runtimeapi.PodSandboxState_SANDBOX_READY {
		return
	}
	if p.group.dirs != nil {
		s.readAll(f, &p.measured)
	}
	if p.ref.NetnsPath == "" {
		return
	}
	ifaces, err := s.opts.Network(p.ref.NetnsPath)
	if err != nil {
		s.errors.count("network", err)
		return
	}
	p.interfaces, p.networkAt = ifaces, time.Now()
}

// readAll runs every reader; one that fails leaves its part out and disturbs no other.
func (s *Sampler) readAll(f *files, m *measured) {
	for _, r := range s.readers {
		if err := r.read(f, m.group, &m.Sample); err != nil {
			s.errors.count(r.name, err)
		}
	}
	for i := range m.IO {
		m.IO[i].Name = s.devices.name(m.IO[i].Device)
	}
}

// rate computes the CPU use since the pass that prev's rate was computed in, at least
// minWindow ago: passes that come faster than that leave the rate and its base as they
// are. A counter that went back is that of a new cgroup and has no rate yet.
func (m *measured) rate(prev *measured) {
	if m.CPU == nil || prev.CPU == nil || m.CPU.Usage < prev.CPU.Usage {
		return
	}
	base := prev.base
	if base == nil {
		base = prev.CPU
	}
	window := m.CPU.At.Sub(base.At)
	if window < minWindow {
		m.nanoCores, m.base = prev.nanoCores, base
		return
	}
	v := uint64(float64(m.CPU.Usage-base.Usage) / window.Seconds())
	m.nanoCores = &v
}

// layers lists the writable layers that there are.
func (p *pass) layers() map[layerKey]bool {
	out := make(map[layerKey]bool, len(p.containers))
	for _, c := range p.containers {
		out[layerKey{c.ref.Snapshotter, c.ref.SnapshotKey}] = true
	}
	return out
}

func (c *containerSample) running() bool {
	return c.ref.State == runtimeapi.ContainerState_CONTAINER_RUNNING
}
