package metrics

import (
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/berth-run/berth/internal/index"
)

// criMetrics is an encoded list of CRI's PodSandboxMetrics.
type criMetrics struct {
	data []byte
	ends []int // where each pod's ends
}

// all is the whole list: the wire form of both ListPodSandboxMetricsResponse and its
// streamed sister, which have it in the same field.
func (c *criMetrics) all() []byte { return c.data }

// chunks cuts the list into messages of at most room bytes, of one pod at the least.
func (c *criMetrics) chunks(room int) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for begin, i := 0, 0; i < len(c.ends); {
			end := c.ends[i]
			for i++; i < len(c.ends) && c.ends[i]-begin <= room; i++ {
				end = c.ends[i]
			}
			if !yield(c.data[begin:end]) {
				return
			}
			begin = end
		}
	}
}

// rendered keeps what was made of a pass while others are likely to ask for the same.
type rendered struct {
	mu  sync.Mutex
	cri *criMetrics
	gz  map[form]*deflated
}

// drop forgets it after keep: megabytes for a full node.
func (p *pass) drop(keep time.Duration) {
	time.AfterFunc(keep, func() {
		p.rendered.mu.Lock()
		defer p.rendered.mu.Unlock()
		p.rendered.cri, p.rendered.gz = nil, nil
	})
}

// criMetrics encodes all pods, once for all who ask within keep.
func (p *pass) criMetrics(families []family, keep time.Duration) *criMetrics {
	p.rendered.mu.Lock()
	defer p.rendered.mu.Unlock()
	if p.rendered.cri == nil {
		p.rendered.cri = p.encodeCRI(families)
		p.drop(keep)
	}
	return p.rendered.cri
}

// Field numbers of PodSandboxMetrics, ContainerMetrics and Metric.
const (
	podID, podMetrics, podContainers                         = 1, 2, 3
	containerID, containerMetrics                            = 1, 2
	criName, criTimestamp, criType, criLabelValues, criValue = 1, 2, 3, 4, 5
)

// lastSize is how long the last list was: what the next one gets room for, as growing it
// step by step would cost twice that in garbage.
var lastSize atomic.Int64

func (p *pass) encodeCRI(families []family) *criMetrics {
	last := lastSize.Load()
	c := &criMetrics{data: make([]byte, 0, last+last/16)}
	defer func() { lastSize.Store(int64(len(c.data))) }()
	e := criEncoders.Get().(*criEncoder)
	defer criEncoders.Put(e)
	e.families = families
	pod, ctr := e.pod, e.container
	for _, ps := range p.pods {
		if !ps.ready() {
			continue
		}
		pod = appendString(pod[:0], podID, ps.ref.ID)
		pod = e.metrics(pod, podMetrics, &object{pod: ps, labels: ps.labelValues()}, ps.at)
		for _, cs := range ps.containers {
			ctr = appendString(ctr[:0], containerID, cs.ref.ID)
			head := len(ctr)
			if ctr = e.metrics(ctr, containerMetrics, &object{container: cs, labels: cs.labelValues()}, cs.at); len(ctr) > head {
				pod = appendBytes(pod, podContainers, ctr)
			}
		}
		c.data = appendBytes(c.data, index.ListField, pod)
		c.ends = append(c.ends, len(c.data))
	}
	e.pod, e.container = pod, ctr
	return c
}

// criEncoders keeps what messages are built in, for the next list.
var criEncoders = sync.Pool{New: func() any { return &criEncoder{} }}

// criEncoder encodes CRI's Metric messages.
type criEncoder struct {
	families []family
	base     []byte
	metric   []byte
	// The message of a pod, and of a container within.
	pod, container []byte
}

// metrics appends all metrics of an object as fields of this number.
func (e *criEncoder) metrics(b []byte, field protowire.Number, o *object, at time.Time) []byte {
	e.base = e.base[:0]
	for _, v := range o.labels {
		e.base = appendString(e.base, criLabelValues, v)
	}
	nanos := uint64(at.UnixNano())
	for i := range e.families {
		f := &e.families[i]
		f.emit(o, func(v float64, labels ...string) {
			m := appendString(e.metric[:0], criName, f.name)
			m = appendUint(m, criTimestamp, nanos)
			m = appendUint(m, criType, uint64(f.kind))
			m = append(m, e.base...)
			for _, l := range labels {
				m = appendString(m, criLabelValues, l)
			}
			// What is below nothing (a limit of -1) is shown as none, which is what CRI can say.
			m = appendNumber(m, criValue, uint64(max(v, 0)))
			b = appendBytes(b, field, m)
			e.metric = m
		})
	}
	return b
}
