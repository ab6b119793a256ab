package metrics

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// stateCollector counts pods and containers by state at each scrape.
type stateCollector struct {
	src              Source
	pods, containers *prometheus.Desc
}

func newStateCollector(src Source) *stateCollector {
	return &stateCollector{
		src:        src,
		pods:       prometheus.NewDesc("berth_pods", "Pod sandboxes by state.", []string{"state"}, nil),
		containers: prometheus.NewDesc("berth_containers", "Containers by state.", []string{"state"}, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *stateCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.pods
	ch <- c.containers
}

// Collect implements prometheus.Collector. States without an object are shown as 0, so
// that a sum over time has no holes.
func (c *stateCollector) Collect(ch chan<- prometheus.Metric) {
	pods := map[int32]int{}
	for _, p := range c.src.Pods() {
		pods[int32(p.State)]++
	}
	ctrs := map[int32]int{}
	for _, ctr := range c.src.Containers() {
		ctrs[int32(ctr.State)]++
	}
	send(ch, c.pods, runtimeapi.PodSandboxState_name, "SANDBOX_", pods)
	send(ch, c.containers, runtimeapi.ContainerState_name, "CONTAINER_", ctrs)
}

func send(ch chan<- prometheus.Metric, desc *prometheus.Desc, names map[int32]string, prefix string, counts map[int32]int) {
	for state, name := range names {
		label := strings.ToLower(strings.TrimPrefix(name, prefix))
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(counts[state]), label)
	}
}
