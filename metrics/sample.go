package metrics

import (
	"time"

	"github.com/berth-run/berth/internal/netns"
)

// Interface holds the counters of one network interface in a pod.
type Interface = netns.InterfaceStats

// Sample is what one pass read of one cgroup. A part is nil when the kernel does
// not have it (no such controller, no PSI) or when the cgroup vanished meanwhile.
type Sample struct {
	CPU      *CPU       `json:"cpu,omitempty"`
	Memory   *Memory    `json:"memory,omitempty"`
	IO       []DeviceIO `json:"io,omitempty"`
	Pids     *Pids      `json:"pids,omitempty"`
	Hugetlb  []Hugetlb  `json:"hugetlb,omitempty"`
	Pressure *Pressure  `json:"pressure,omitempty"`
}

// reader reads one kind of resource into a sample. All of them are in readers.
type reader struct {
	name string
	// detail tells that CRI's stats do without. Such a reader adds to what the others read.
	detail bool
	// keep tells whether it changes while nothing runs.
	keep keeping
	read func(f *files, g *group, s *Sample) error
}

// depth is how much a pass reads: the kubelet asks every ten seconds for a third of what
// /metrics has, and often for containers only.
type depth int

const (
	// containerStats is what CRI's stats have of containers; every pass has it.
	containerStats depth = 1 << iota
	// podStats is the same of pods.
	podStats
	// details is the rest, of both.
	details
	everything = containerStats | podStats | details
)

// readers lists them in the order of a pass: CPU first, since its time matters most.
func readers(pageSizes []string) []reader {
	return []reader{
		{name: "cpu", read: readCPU},
		{name: "memory", read: readMemory},
		{name: "pressure", read: readPressure},
		{name: "io", detail: true, read: readIO},
		{name: "cpu", detail: true, keep: keepLong, read: readCPUDetails},
		{name: "memory", detail: true, keep: keepLong, read: readMemoryDetails},
		{name: "pids", detail: true, keep: keepSoon, read: readPids},
		{name: "hugetlb", detail: true, keep: keepSoon, read: func(f *files, g *group, s *Sample) error {
			return readHugetlb(f, g, s, pageSizes)
		}},
	}
}

// unlimited is the value from which a v1 limit means none: the kernel rounds its
// largest one down to pages.
const unlimited = 1 << 62

// nanos turns the microseconds of v2 files into nanoseconds.
func nanos(usec uint64) uint64 { return usec * uint64(time.Microsecond) }

// seconds turns nanoseconds into Prometheus' base unit.
func seconds(ns uint64) float64 { return float64(ns) / float64(time.Second) }
