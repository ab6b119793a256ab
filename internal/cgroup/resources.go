package cgroup

import (
	"fmt"
	"math"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/cgroups/fs"
	"github.com/opencontainers/cgroups/fs2"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// defaultPeriod is the kernel's CFS period in microseconds.
const defaultPeriod = 100000

// manager picks the library's manager for an existing cgroup.
func (h *Host) manager(parent string, paths Paths) (cgroups.Manager, error) {
	if h.Driver == Systemd {
		return h.systemdManager(parent, paths)
	}
	if h.Mode == Unified {
		return fs2.NewManager(&cgroups.Cgroup{}, paths[""])
	}
	return fs.NewManager(&cgroups.Cgroup{Resources: &cgroups.Resources{SkipDevices: true}}, paths)
}

// podResources is the sum of what the containers and the pod itself may use. Nil means
// that nothing is to be changed. Overhead adds to a limit; it never makes one, since
// a pod without a limit must not get one from its overhead.
func podResources(mode Mode, res, over *runtimeapi.LinuxContainerResources) (*cgroups.Resources, error) {
	if err := checkResources(mode, res, over); err != nil {
		return nil, err
	}
	r := &cgroups.Resources{SkipDevices: true, SkipFreezeOnSet: true}
	shares := res.GetCpuShares() + over.GetCpuShares()
	if mode == Unified {
		r.CpuWeight = cgroups.ConvertCPUSharesToCgroupV2Value(uint64(shares))
	} else {
		r.CpuShares = uint64(shares)
	}
	if res.GetCpuQuota() != 0 || res.GetCpuPeriod() != 0 {
		r.CpuQuota, r.CpuPeriod = podQuota(res, over)
	}
	r.Memory = addLimit(res.GetMemoryLimitInBytes(), over.GetMemoryLimitInBytes())
	r.MemorySwap = addLimit(res.GetMemorySwapLimitInBytes(), over.GetMemorySwapLimitInBytes())
	r.CpusetCpus, r.CpusetMems = res.GetCpusetCpus(), res.GetCpusetMems()
	r.HugetlbLimit = hugepages(res, over)
	r.Unified = res.GetUnified()
	if shares == 0 && r.CpuQuota == 0 && r.CpuPeriod == 0 && r.Memory == 0 && r.MemorySwap == 0 &&
		r.CpusetCpus == "" && r.CpusetMems == "" && len(r.HugetlbLimit) == 0 && len(r.Unified) == 0 {
		return nil, nil
	}
	return r, nil
}

// checkResources refuses what cannot be applied, before anything is.
func checkResources(mode Mode, msgs ...*runtimeapi.LinuxContainerResources) error {
	for _, m := range msgs {
		if m.GetCpuShares() < 0 || m.GetCpuPeriod() < 0 || m.GetCpuQuota() < -1 ||
			m.GetMemoryLimitInBytes() < -1 || m.GetMemorySwapLimitInBytes() < -1 {
			return fmt.Errorf("negative value in %v: %w", m, errdefs.ErrInvalidArgument)
		}
		if len(m.GetUnified()) > 0 && mode != Unified {
			return fmt.Errorf("unified keys need cgroup v2, this host has %s: %w", mode, errdefs.ErrInvalidArgument)
		}
	}
	return nil
}

// podQuota adds the overhead's share of a period to the quota.
func podQuota(res, over *runtimeapi.LinuxContainerResources) (quota int64, period uint64) {
	period = defaultPeriod
	if p := res.GetCpuPeriod(); p > 0 {
		period = uint64(p)
	}
	quota = res.GetCpuQuota()
	if quota > 0 && over.GetCpuQuota() > 0 {
		overPeriod := int64(defaultPeriod)
		if p := over.GetCpuPeriod(); p > 0 {
			overPeriod = p
		}
		quota += int64(math.Ceil(float64(over.GetCpuQuota()) * float64(period) / float64(overPeriod)))
	}
	return quota, period
}

// addLimit adds overhead to a limit that is set: 0 is unset, -1 is none.
func addLimit(limit, overhead int64) int64 {
	if limit > 0 && overhead > 0 {
		return limit + overhead
	}
	return limit
}

// hugepages adds up the limits of both messages by page size, in their order.
func hugepages(res, over *runtimeapi.LinuxContainerResources) []*cgroups.HugepageLimit {
	var out []*cgroups.HugepageLimit
	bySize := map[string]*cgroups.HugepageLimit{}
	for _, l := range append(append([]*runtimeapi.HugepageLimit{}, res.GetHugepageLimits()...), over.GetHugepageLimits()...) {
		if have, ok := bySize[l.GetPageSize()]; ok {
			have.Limit += l.GetLimit()
			continue
		}
		h := &cgroups.HugepageLimit{Pagesize: l.GetPageSize(), Limit: l.GetLimit()}
		bySize[h.Pagesize] = h
		out = append(out, h)
	}
	return out
}
