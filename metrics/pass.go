package metrics

import (
	"sync"
	"sync/atomic"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/internal/cgroup"
)

// pass is the outcome of measuring everything once. It is constant once made, but
// for what is made of it on demand.
type pass struct {
	at         time.Time // of its figures
	made       time.Time // it was ready; later than at when it was completed
	took       time.Duration
	depth      depth
	pods       []*podSample
	containers []*containerSample
	podByID    map[string]*podSample
	ctrByID    map[string]*containerSample

	rendered rendered
}

// measured is what pods and containers have in common.
type measured struct {
	Sample
	at    time.Time
	group *group // nil without a cgroup of its own
	// byShim tells that the figures are what the container's shim said.
	byShim bool
	// nanoCores is the CPU use per second since the pass before; nil when there was none.
	nanoCores *uint64
	// counted tells that Pids.Processes were counted in the cgroup.
	counted bool
	// base is what the next rate is computed from; nil means CPU.
	base *CPU
	slow slow
}

// slow is what is not worth reading at every pass.
type slow struct {
	at      time.Time
	limits  *Limits
	procs   *Processes
	procsAt time.Time
}

// podSample is one pod of a pass.
type podSample struct {
	measured
	ref        PodRef
	containers []*containerSample
	interfaces []Interface
	networkAt  time.Time  // zero when the network was not read
	outside    *processes // that are in no container; nil when they are not to be added up
	net        network

	wireOnce sync.Once
	wire     []byte
}

// containerSample is one container of a pass.
type containerSample struct {
	measured
	ref   ContainerRef
	pod   *podSample // nil when the source does not list it
	layer *LayerUsage
	fs    *Filesystem // that holds the layer
	logs  *LogUsage

	wireOnce sync.Once
	wire     []byte
}

// work is the state of one pass under way.
type work struct {
	s     *Sampler
	prev  *pass
	depth depth
	// budget is the time left for what is slow, in nanoseconds.
	budget atomic.Int64
}

// measure reads all that runs to some depth, on as many processors as there are. There
// is only one at a time.
func (s *Sampler) measure(prev *pass, d depth) *pass {
	start := time.Now()
	p := s.index(prev)
	w := &work{s: s, prev: prev, depth: d}
	w.budget.Store(int64(slowBudget))
	w.each(p, w.pod, w.container)
	w.sumUp(p)
	s.filesystems(p)
	s.prune(p)
	p.at, p.took, p.depth = time.Now(), time.Since(start), d
	if d&details == 0 {
		w.encode(p)
	}
	return p
}

// sumUp ends the figures of pods.
func (w *work) sumUp(p *pass) {
	for _, pod := range p.pods {
		before := w.prev.podByID[pod.ref.ID]
		if w.depth&podStats != 0 {
			pod.sumUp()
			w.sumProcesses(pod)
			if before != nil {
				pod.rate(&before.measured)
			}
		} else if before != nil {
			pod.keepRate(&before.measured)
		}
	}
}

// each lets as many processors as there are work on a pass: on pods, and on containers that are in none.
func (w *work) each(p *pass, pod func(*files, *podSample), alone func(*files, *containerSample)) {
	var next atomic.Int64
	work := func(f *files) {
		for {
			switch i := int(next.Add(1)) - 1; {
			case i < len(p.pods):
				pod(f, p.pods[i])
			case i < len(p.pods)+len(p.containers):
				if c := p.containers[i-len(p.pods)]; c.pod == nil {
					alone(f, c)
				}
			default:
				return
			}
		}
	}
	var wg sync.WaitGroup
	for _, f := range w.s.files {
		wg.Go(func() { work(f) })
	}
	wg.Wait()
}

// index lists what there is and tells which cgroup is whose.
func (s *Sampler) index(prev *pass) *pass {
	pods, ctrs := s.src.Pods(), s.src.Containers()
	p := &pass{podByID: make(map[string]*podSample, len(pods)), ctrByID: make(map[string]*containerSample, len(ctrs))}
	users := map[string]int{}
	for _, ref := range pods {
		pod := &podSample{ref: ref, net: network{nsid: noNsid}}
		p.pods = append(p.pods, pod)
		p.podByID[ref.ID] = pod
		if ref.State == runtimeapi.PodSandboxState_SANDBOX_READY {
			users[ref.CgroupParent]++
		}
	}
	for _, pod := range p.pods {
		// A parent that several pods share, or the root, says nothing of one pod.
		parent := pod.ref.CgroupParent
		if !pod.ready() || users[parent] != 1 || parent == "" || cgroup.Relative(parent) == "/" {
			continue
		}
		var before *measured
		if old := prev.podByID[pod.ref.ID]; old != nil {
			before, pod.net = &old.measured, old.net
		}
		pod.group = s.group(parent, before)
	}
	for _, ref := range ctrs {
		c := &containerSample{ref: ref, pod: p.podByID[ref.PodID]}
		if ref.CgroupPath != "" && c.running() {
			var before *measured
			if old := prev.ctrByID[ref.ID]; old != nil {
				before = &old.measured
			}
			c.group = s.group(ref.CgroupPath, before)
		}
		if c.pod != nil {
			c.pod.containers = append(c.pod.containers, c)
		}
		p.containers = append(p.containers, c)
		p.ctrByID[ref.ID] = c
	}
	return p
}

// group takes over that of the pass before, with its open directories.
func (s *Sampler) group(path string, before *measured) *group {
	if before != nil && before.group != nil && before.group.path == path {
		return before.group
	}
	return newGroup(path, s.host.Mode == cgroup.Unified, s.host.Resolve(path))
}

func (w *work) container(f *files, c *containerSample) {
	c.at = time.Now()
	w.logs(c)
	prev := w.prev.ctrByID[c.ref.ID]
	if c.running() {
		w.readAll(f, &c.measured, c.pod)
		w.foreign(c)
		w.countContainer(f, c)
		if prev != nil {
			c.slow = prev.slow
		}
		w.slowly(f, &c.measured, c.ref.InitPID)
	}
	w.layer(c)
	if prev != nil {
		c.rate(&prev.measured)
	}
}

// logs takes what is known of the log, which CRI's stats do not have.
func (w *work) logs(c *containerSample) {
	if w.s.opts.Logs == nil || w.depth&details == 0 || !c.running() {
		return
	}
	l, ok := w.s.opts.Logs.known(c.ref.PodID, c.ref.ID)
	// Of a container that started under this daemon and that its shim was not asked about yet, the
	// figures as of its start are known. Of an older one they are not: a counter must not go back to zero.
	if ok || c.ref.StartedAt.After(w.s.began) && !c.ref.Foreign {
		c.logs = &l
	}
}

// layer takes what is known of the writable layer. While nothing runs that could write there
// it is not measured again.
func (w *work) layer(c *containerSample) {
	usage := w.s.opts.Usage
	if usage == nil || c.ref.SnapshotKey == "" {
		return
	}
	u, began, ok := usage.known(c.ref.Snapshotter, c.ref.SnapshotKey)
	if !ok || !c.group.idleSince(began, stillAge) {
		u, ok = usage.Get(c.ref.Snapshotter, c.ref.SnapshotKey)
	}
	if ok {
		c.layer = &u
	}
}

// pod reads a pod before its containers, of which it tells much.
func (w *work) pod(f *files, p *podSample) {
	w.podItself(f, p)
	for _, c := range p.containers {
		w.container(f, c)
	}
}

func (w *work) podItself(f *files, p *podSample) {
	p.at = time.Now()
	if prev := w.prev.podByID[p.ref.ID]; prev != nil {
		p.slow = prev.slow
	}
	if !p.ready() || w.depth&podStats == 0 {
		return
	}
	if p.group != nil {
		w.readAll(f, &p.measured, nil)
		w.countPod(f, p)
		w.slowly(f, &p.measured, 0)
	}
	if p.ref.NetnsPath == "" {
		return
	}
	ifaces, err := w.s.network(f, p.ref.NetnsPath, &p.net)
	if err != nil {
		w.count("network", err)
		return
	}
	p.interfaces, p.networkAt = someInterfaces(ifaces, p.defaultInterface()), time.Now()
}

// prune drops what was kept for objects that are gone.
func (s *Sampler) prune(p *pass) {
	kept := make(map[*group]bool, len(p.pods)+len(p.containers))
	layers, pods, ids := make(map[layerKey]bool, len(p.containers)), make(map[string]bool, len(p.pods)), make(map[string]bool, len(p.containers))
	for _, pod := range p.pods {
		kept[pod.group], pods[pod.ref.ID] = true, true
	}
	for _, c := range p.containers {
		kept[c.group], ids[c.ref.ID] = true, true
		layers[layerKey{c.ref.Snapshotter, c.ref.SnapshotKey}] = true
	}
	for g := range s.groups {
		if !kept[g] {
			g.close(s.handles)
		}
	}
	delete(kept, nil)
	s.groups = kept
	if s.opts.Usage != nil {
		s.opts.Usage.layers.prune(layers)
	}
	if s.opts.Logs != nil {
		s.opts.Logs.pods.prune(pods)
	}
	if s.foreign != nil {
		s.foreign.prune(ids)
	}
}

func (c *containerSample) running() bool {
	return c.ref.State == runtimeapi.ContainerState_CONTAINER_RUNNING
}
