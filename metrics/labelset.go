package metrics

import "github.com/berth-run/berth/internal/cgroup"

// object is a pod or a container of a pass with its labels, which every family shows again.
type object struct {
	pod       *podSample // one of the two is nil
	container *containerSample
	labels    []string // the values of baseLabels
}

// objects lists what has series.
func (p *pass) objects() []object {
	out := make([]object, 0, len(p.pods)+len(p.containers))
	for _, c := range p.containers {
		out = append(out, object{container: c, labels: c.labelValues()})
	}
	for _, pod := range p.pods {
		if pod.ready() {
			out = append(out, object{pod: pod, labels: pod.labelValues()})
		}
	}
	return out
}

// emit passes on a family's values of an object.
func (f *family) emit(o *object, out emit) {
	if o.container != nil {
		f.ofContainer(o.container, out)
	} else {
		f.ofPod(o.pod, out)
	}
}

// baseLabels are on every container_* metric, as cAdvisor has them. A pod's own
// figures have an empty container, image and name.
func baseLabels() []string {
	return []string{"container", "id", "image", "name", "namespace", "pod"}
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
	if p.group != nil {
		id = cgroup.Relative(p.ref.CgroupParent)
	}
	return []string{"", id, "", "", p.ref.Metadata.GetNamespace(), p.ref.Metadata.GetName()}
}
