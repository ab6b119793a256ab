package metrics

import (
	"github.com/berth-run/berth/cgroup"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// baseLabels are on every container_* metric, as cAdvisor has them. A pod's own
// figures have an empty container, image and name.
var baseLabels = []string{"container", "id", "image", "name", "namespace", "pod"}

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
		pressureFamilies(), networkFamilies(), lifeFamilies(), specFamilies(),
	} {
		all = append(all, part...)
	}
	return all
}

// labelValues are those of baseLabels.
func (c *containerSample) labelValues() []string {
	v := []string{c.ref.Metadata.GetName(), cgroup.Relative(c.ref.CgroupPath), c.ref.Image, c.ref.ID, "", ""}
	if c.pod != nil {
		v[4], v[5] = c.pod.ref.Metadata.GetNamespace(), c.pod.ref.Metadata.GetName()
	}
	return v
}

func (p *podSample) labelValues() []string {
	// A pod without a cgroup of its own must still differ from the next one.
	id := "/" + p.ref.ID
	if p.group.dirs != nil {
		id = cgroup.Relative(p.ref.CgroupParent)
	}
	return []string{"", id, "", "", p.ref.Metadata.GetNamespace(), p.ref.Metadata.GetName()}
}

// ofContainer emits a family's values of a container that runs.
func (f *family) ofContainer(c *containerSample, out emit) {
	if !c.running() {
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
