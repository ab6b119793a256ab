package metrics

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/berth-run/berth/internal/cgroup"
	"github.com/berth-run/berth/internal/netns"
)

const (
	// defaultMaxAge is within what the kubelet, Prometheus and crictl ask together.
	defaultMaxAge = time.Second
	// minWindow is the shortest time a rate is computed over: below it the
	// scheduler's own granularity shows.
	minWindow = 100 * time.Millisecond
	// hugepagesDir lists the machine's huge page sizes.
	hugepagesDir = "/sys/kernel/mm/hugepages"
	// blockDir has a link for each block device, named by its number.
	blockDir = "/sys/dev/block"
)

// Options configure a Sampler. Zero values are sensible.
type Options struct {
	// MaxAge is how old a sample may be that is served again; 0 means one second.
	MaxAge time.Duration
	// Usage accounts writable layers; nil leaves those figures out.
	Usage *UsageCache
	// Network reads the interfaces in the network namespace at a path; nil means from the kernel.
	Network func(path string) ([]Interface, error)
	// Logs accounts containers' logs; nil leaves those figures out.
	Logs *LogCache
	// Foreign asks shims of containers without cgroups on this host; nil leaves those
	// figures out.
	Foreign ForeignFunc
	// Filesystem describes the filesystem that holds a directory; nil means from the kernel.
	Filesystem func(dir string) (Filesystem, error)
}

// Sampler measures pods and containers on demand. It is safe for concurrent use.
type Sampler struct {
	host     *cgroup.Host
	src      Source
	opts     Options
	began    time.Time // when this sampler was made
	readers  []reader
	families []family
	errors   *readErrors
	devices  *deviceNames
	foreign  *background[string, Sample] // nil: nobody to ask
	proc     string

	// These belong to the pass under way.
	files   []*files // one a worker
	handles *handles
	groups  map[*group]bool
	fs      map[string]*Filesystem // by directory
	fsAt    time.Time

	mu      sync.Mutex
	last    *pass         // the newest finished pass
	wanted  depth         // of the next one
	running chan struct{} // closed when the pass under way is done; nil when none is
	// detailed is when there was a pass with details.
	detailed time.Time
	ended    *time.Timer // will make a pass for what has ended; nil when none is due
	closed   bool
}

// states are room for what a source has, used again by whoever asks next.
type states struct{ pods, containers []State }

var stateLists = sync.Pool{New: func() any { return &states{} }}

// NewSampler returns a sampler of what src lists, on the cgroup layout of host.
func NewSampler(host *cgroup.Host, src Source, opts Options) *Sampler {
	if opts.MaxAge <= 0 {
		opts.MaxAge = defaultMaxAge
	}
	if opts.Filesystem == nil {
		opts.Filesystem = (&filesystemReader{mounted: map[string]mounted{}}).read
	}
	s := &Sampler{
		host: host, src: src, opts: opts, began: time.Now(),
		readers:  readers(pageSizes(hugepagesDir)),
		families: families(),
		errors:   newReadErrors(),
		devices:  &deviceNames{dir: blockDir, names: map[string]string{}},
		foreign:  newForeign(opts.Foreign),
		proc:     "/proc",
		handles:  newHandles(),
		last:     &pass{},
	}
	for range min(runtime.GOMAXPROCS(0), 4) {
		s.files = append(s.files, &files{handles: s.handles})
	}
	return s
}

// Close ends the work in the background and lets go of what is kept open. The sampler
// still answers afterwards, with its last figures.
func (s *Sampler) Close() {
	if s.foreign != nil {
		s.foreign.Close()
	}
	s.mu.Lock()
	s.closed = true
	if s.ended != nil {
		s.ended.Stop()
	}
	running := s.running
	s.mu.Unlock()
	if running != nil {
		<-running
	}
	for g := range s.groups {
		g.close(s.handles)
	}
	for _, f := range s.files {
		f.net.close()
	}
}

// network reads the interfaces of a pod, without lo. Old kernels cannot list those of another
// namespace, so there it is entered.
func (s *Sampler) network(f *files, path string, known *network) ([]Interface, error) {
	read := s.opts.Network
	if read == nil {
		ifaces, err := f.net.read(path, known)
		if !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EINVAL) {
			return ifaces, err
		}
		read = netns.Stats
	}
	ifaces, err := read(path)
	return slices.DeleteFunc(ifaces, func(i Interface) bool { return i.Name == loopback }), err
}

// sample gives a pass of some depth at least that is not older than MaxAge and knows what
// runs now. Callers that come while one is under way share it. For a caller whose context
// ends the newest finished pass will do if it is deep enough: its age is in its time, and
// stale figures are better than none. Else there are none: counters of a pass that did not
// read them would be 0.
func (s *Sampler) sample(ctx context.Context, d depth) *pass {
	since := time.Now()
	for round := 0; ; round++ {
		last, done := s.join(d, since, round)
		if done == nil {
			return last
		}
		select {
		case <-done:
		case <-ctx.Done():
			return last.orNone(d)
		}
	}
}

// join gives the newest pass and, if that will not do, the end of the one under way,
// which it begins when there is none. It is told since when its caller waits, and for how
// many passes it has waited: the pass under way can have begun before something started, the
// one after it has not, and after that nothing better is to be had where so much changes.
func (s *Sampler) join(d depth, since time.Time, round int) (*pass, chan struct{}) {
	now := stateLists.Get().(*states)
	defer stateLists.Put(now)
	now.pods, now.containers = s.src.States(now.pods[:0], now.containers[:0])
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.last.knows(now.pods, now.containers)
	fresh := known && !s.last.at.IsZero() && time.Since(s.last.at) < s.opts.MaxAge
	if s.last.depth&d == d && (fresh || s.last.made.After(since) && (known || round > 1)) {
		return s.last, nil
	}
	if s.closed {
		return s.last.orNone(d), nil
	}
	// Whoever begins the next pass reads what all want that wait.
	s.wanted |= d
	if s.running == nil {
		want := s.wanted
		s.wanted = 0
		measure := func(prev *pass) *pass { return s.measure(prev, want) }
		if fresh {
			measure = func(prev *pass) *pass { return s.complete(prev, want|prev.depth) }
		}
		s.running = make(chan struct{})
		// Not in the caller's own goroutine: its end must not end the pass for the others.
		go s.run(measure, s.last, s.running)
	}
	return s.last, s.running
}

// orNone is the pass if it is deep enough, else an empty one.
func (p *pass) orNone(d depth) *pass {
	if p.depth&d == d {
		return p
	}
	return &pass{}
}

// knows tells whether a pass has every object in the state that it has now.
func (p *pass) knows(pods, ctrs []State) bool {
	for i := range pods {
		if have, ok := p.podByID[pods[i].ID]; !ok || int32(have.ref.State) != pods[i].State {
			return false
		}
	}
	for i := range ctrs {
		if have, ok := p.ctrByID[ctrs[i].ID]; !ok || int32(have.ref.State) != ctrs[i].State {
			return false
		}
	}
	return len(pods) == len(p.pods) && len(ctrs) == len(p.containers)
}

// run makes one pass of the one before, which gives the base of rates.
func (s *Sampler) run(measure func(prev *pass) *pass, prev *pass, done chan struct{}) {
	next := measure(prev)
	next.made = time.Now()
	s.mu.Lock()
	s.last, s.running = next, nil
	if next.depth&details != 0 {
		s.detailed = next.made
	}
	wanted := s.detailed
	close(done)
	s.mu.Unlock()
	s.opts.Logs.renew(next, wanted)
}
