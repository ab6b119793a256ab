package ocispec

import (
	"fmt"
	"maps"
	"strings"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/internal/hostinfo"
)

// ResourceOptions say what a conversion of resources may rely on.
type ResourceOptions struct {
	// Host is what the machine can do; required.
	Host *hostinfo.Info
	// RefuseMissingHugetlb and DisableHugetlb are as in Defaults.
	RefuseMissingHugetlb, DisableHugetlb bool
}

// resources sets the container's limits, over those of the base spec.
func (b *builder) resources() error {
	o := ResourceOptions{
		Host:                 b.in.Host,
		RefuseMissingHugetlb: b.in.Defaults.RefuseMissingHugetlb,
		DisableHugetlb:       b.in.Defaults.DisableHugetlb,
	}
	r, warnings, err := Resources(b.in.Config.GetLinux().GetResources(), o)
	if err != nil {
		return err
	}
	b.out.Warnings = append(b.out.Warnings, warnings...)
	merge(b.s.Linux.Resources, r)
	if limit := b.in.Defaults.PidsLimit; limit > 0 {
		b.s.Linux.Resources.Pids = &specs.LinuxPids{Limit: &limit}
	}
	return nil
}

// Resources converts CRI resources to OCI resources. A zero or empty CRI field
// is "not specified" and stays unset. The second answer are warnings, one
// sentence each, about what had to be left out.
//
// A memory limit without a swap limit means no swap, as Kubernetes has it. On
// cgroup v1 and hybrid hosts unified keys are ErrFailedPrecondition.
func Resources(r *runtimeapi.LinuxContainerResources, o ResourceOptions) (*specs.LinuxResources, []string, error) {
	out := &specs.LinuxResources{CPU: cpu(r)}
	var warnings []string
	out.Memory, warnings = memory(r, o.Host)
	huge, w, err := hugepages(r, o)
	if err != nil {
		return nil, nil, err
	}
	out.HugepageLimits = huge
	if u := r.GetUnified(); len(u) > 0 {
		if !o.Host.Cgroup.IsV2() {
			return nil, nil, fmt.Errorf("unified resources need cgroup v2, this node has %s: %w", o.Host.Cgroup.Mode, errdefs.ErrFailedPrecondition)
		}
		out.Unified = maps.Clone(u)
	}
	return out, append(warnings, w...), nil
}

// cpu is nil where nothing is specified.
func cpu(r *runtimeapi.LinuxContainerResources) *specs.LinuxCPU {
	c := specs.LinuxCPU{Cpus: r.GetCpusetCpus(), Mems: r.GetCpusetMems()}
	if v := uint64(r.GetCpuPeriod()); v != 0 {
		c.Period = &v
	}
	if v := r.GetCpuQuota(); v != 0 {
		c.Quota = &v
	}
	if v := uint64(r.GetCpuShares()); v != 0 {
		c.Shares = &v
	}
	if c == (specs.LinuxCPU{}) {
		return nil
	}
	return &c
}

// memory is nil where nothing is specified. OCI's swap is memory and swap together, as the CRI's.
func memory(r *runtimeapi.LinuxContainerResources, host *hostinfo.Info) (*specs.LinuxMemory, []string) {
	limit, swap := r.GetMemoryLimitInBytes(), r.GetMemorySwapLimitInBytes()
	if limit == 0 && swap == 0 {
		return nil, nil
	}
	m := &specs.LinuxMemory{}
	if limit != 0 {
		m.Limit = &limit
	}
	if !host.Swap {
		if swap != 0 && swap != limit {
			return m, []string{"The swap limit is left out: the memory controller of this node does not account for swap."}
		}
		return m, nil
	}
	if swap == 0 {
		swap = limit
	}
	m.Swap = &swap
	return m, nil
}

// hugepages are the limits for each page size. The kubelet sends a limit of
// zero for every size the node has, so a missing controller matters only for others.
func hugepages(r *runtimeapi.LinuxContainerResources, o ResourceOptions) ([]specs.LinuxHugepageLimit, []string, error) {
	if len(r.GetHugepageLimits()) == 0 || o.DisableHugetlb {
		return nil, nil, nil
	}
	if !o.Host.Cgroup.Has("hugetlb") {
		if o.RefuseMissingHugetlb {
			return nil, nil, fmt.Errorf("hugepage limits need the hugetlb cgroup controller, which this node has not mounted: %w", errdefs.ErrFailedPrecondition)
		}
		for _, h := range r.GetHugepageLimits() {
			if h.GetLimit() > 0 {
				return nil, []string{"Hugepage limits are left out: the hugetlb cgroup controller is missing on this node."}, nil
			}
		}
		return nil, nil, nil
	}
	var out []specs.LinuxHugepageLimit
	for _, h := range r.GetHugepageLimits() {
		out = append(out, specs.LinuxHugepageLimit{Pagesize: h.GetPageSize(), Limit: h.GetLimit()})
	}
	return out, nil, nil
}

// ToCRI reports the resources of a spec as ContainerStatus.resources wants them.
func ToCRI(s *specs.Spec) *runtimeapi.LinuxContainerResources {
	out := &runtimeapi.LinuxContainerResources{}
	if s == nil || s.Linux == nil {
		return out
	}
	if s.Process != nil && s.Process.OOMScoreAdj != nil {
		out.OomScoreAdj = int64(*s.Process.OOMScoreAdj)
	}
	r := s.Linux.Resources
	if r == nil {
		return out
	}
	if c := r.CPU; c != nil {
		out.CpuPeriod = int64(deref(c.Period))
		out.CpuQuota = deref(c.Quota)
		out.CpuShares = int64(deref(c.Shares))
		out.CpusetCpus, out.CpusetMems = c.Cpus, c.Mems
	}
	if m := r.Memory; m != nil {
		out.MemoryLimitInBytes = deref(m.Limit)
		out.MemorySwapLimitInBytes = deref(m.Swap)
	}
	for _, h := range r.HugepageLimits {
		out.HugepageLimits = append(out.HugepageLimits, &runtimeapi.HugepageLimit{PageSize: h.Pagesize, Limit: h.Limit})
	}
	out.Unified = maps.Clone(r.Unified)
	return out
}

func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// ValidateResources refuses resource values that no kernel accepts; used by
// Validate and before UpdateContainerResources. field is the CRI field's name for messages.
func ValidateResources(field string, r *runtimeapi.LinuxContainerResources) error {
	invalid := func(name, format string, args ...any) error {
		return fmt.Errorf("%s.%s %s: %w", field, name, fmt.Sprintf(format, args...), errdefs.ErrInvalidArgument)
	}
	switch {
	case r.GetCpuPeriod() != 0 && (r.GetCpuPeriod() < 1000 || r.GetCpuPeriod() > 1000000):
		return invalid("cpu_period", "%d is not between 1000 and 1000000 (microseconds)", r.GetCpuPeriod())
	case r.GetCpuQuota() > 0 && r.GetCpuQuota() < 1000:
		return invalid("cpu_quota", "%d is below the kernel's least of 1000 (microseconds)", r.GetCpuQuota())
	case r.GetCpuShares() < 0:
		return invalid("cpu_shares", "%d is negative", r.GetCpuShares())
	case r.GetMemoryLimitInBytes() < -1:
		return invalid("memory_limit_in_bytes", "%d is negative", r.GetMemoryLimitInBytes())
	case r.GetMemorySwapLimitInBytes() < -1:
		return invalid("memory_swap_limit_in_bytes", "%d is negative", r.GetMemorySwapLimitInBytes())
	case r.GetMemorySwapLimitInBytes() > 0 && r.GetMemorySwapLimitInBytes() < r.GetMemoryLimitInBytes():
		return invalid("memory_swap_limit_in_bytes", "%d is below the memory limit of %d, which it includes", r.GetMemorySwapLimitInBytes(), r.GetMemoryLimitInBytes())
	case r.GetOomScoreAdj() < -1000 || r.GetOomScoreAdj() > 1000:
		return invalid("oom_score_adj", "%d is not between -1000 and 1000", r.GetOomScoreAdj())
	case strings.Trim(r.GetCpusetCpus(), "0123456789,- ") != "":
		return invalid("cpuset_cpus", "%q is not a list of CPUs such as 0-3,7", r.GetCpusetCpus())
	case strings.Trim(r.GetCpusetMems(), "0123456789,- ") != "":
		return invalid("cpuset_mems", "%q is not a list of memory nodes such as 0-1", r.GetCpusetMems())
	}
	for _, h := range r.GetHugepageLimits() {
		if !strings.HasSuffix(h.GetPageSize(), "B") || strings.ContainsAny(h.GetPageSize(), "/.") {
			return invalid("hugepage_limits", "page_size %q is not of the form 2MB", h.GetPageSize())
		}
	}
	for k := range r.GetUnified() {
		if k == "" || strings.ContainsAny(k, "/\x00") || !strings.Contains(k, ".") {
			return invalid("unified", "key %q is not a file of a cgroup such as memory.high", k)
		}
	}
	return nil
}
