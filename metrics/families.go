package metrics

import (
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/internal/cgroup"
)

// emit takes one value with the labels that a family adds to the base ones.
type emit func(v float64, labels ...string)

// family is one metric of containers and pods, for CRI and Prometheus alike.
type family struct {
	name, help string
	kind       runtimeapi.MetricType
	labels     []string
	// both, container and pod read the value out of a sample; nil where it has none.
	both      func(m *measured, out emit)
	container func(c *containerSample, out emit)
	pod       func(p *podSample, out emit)
	// ended reads the value of a container that has exited; nil for what ends with it.
	ended func(c *containerSample, out emit)
	// criOnly leaves the family out of /metrics: its values are always zero, for a kubelet whose users expect
	// what cAdvisor has.
	criOnly bool
	// given reports whether a host has values at all; nil: every host has.
	given func(h *cgroup.Host) bool
}

const (
	counter = runtimeapi.MetricType_COUNTER
	gauge   = runtimeapi.MetricType_GAUGE
)

// families is the whole catalogue. It makes a new one at each call, since a package
// has no state.
func families() []family {
	var all []family
	for _, part := range [][]family{
		cpuFamilies(), memoryFamilies(), ioFamilies(), taskFamilies(), hugetlbFamilies(),
		pressureFamilies(), networkFamilies(), lifeFamilies(), specFamilies(), berthFamilies(),
	} {
		all = append(all, part...)
	}
	return all
}

// ofContainer emits a family's values of a container that runs, or of one that has ended
// where the family lasts longer.
func (f *family) ofContainer(c *containerSample, out emit) {
	if !c.running() {
		if f.ended != nil {
			f.ended(c, out)
		}
		return
	}
	if f.both != nil {
		f.both(&c.measured, out)
	}
	if f.container != nil {
		f.container(c, out)
	}
}

// ofPod emits a family's values of a pod that is ready.
func (f *family) ofPod(p *podSample, out emit) {
	if !p.ready() {
		return
	}
	if f.both != nil {
		f.both(&p.measured, out)
	}
	if f.pod != nil {
		f.pod(p, out)
	}
}
