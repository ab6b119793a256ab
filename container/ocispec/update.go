package ocispec

import (
	"fmt"
	"maps"
	"slices"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Update applies UpdateContainerResources: it answers a copy of s in which the
// fields that r specifies are replaced and all others kept, and the resources
// to hand to the task's Update, which are those that r specifies and nothing
// else. s is left alone, so that the caller can drop the copy when the runtime
// refuses. oom_score_adj is not taken over: no runtime changes it afterwards.
func Update(s *specs.Spec, r *runtimeapi.LinuxContainerResources, o ResourceOptions) (*specs.Spec, *specs.LinuxResources, error) {
	if s == nil || s.Linux == nil {
		return nil, nil, fmt.Errorf("updating resources of a container without a Linux spec: %w", errdefs.ErrFailedPrecondition)
	}
	if err := ValidateResources("linux", r); err != nil {
		return nil, nil, err
	}
	changed, _, err := Resources(r, o)
	if err != nil {
		return nil, nil, err
	}
	updated := clone(s)
	if updated.Linux.Resources == nil {
		updated.Linux.Resources = &specs.LinuxResources{}
	}
	merge(updated.Linux.Resources, changed)
	return updated, changed, nil
}

// merge replaces in dst what src specifies.
func merge(dst, src *specs.LinuxResources) {
	if src.CPU != nil {
		dst.CPU = mergeCPU(dst.CPU, src.CPU)
	}
	if src.Memory != nil {
		if dst.Memory == nil {
			dst.Memory = &specs.LinuxMemory{}
		}
		dst.Memory.Limit = first(src.Memory.Limit, dst.Memory.Limit)
		dst.Memory.Swap = first(src.Memory.Swap, dst.Memory.Swap)
	}
	for _, h := range src.HugepageLimits {
		dst.HugepageLimits = slices.DeleteFunc(dst.HugepageLimits, func(d specs.LinuxHugepageLimit) bool { return d.Pagesize == h.Pagesize })
		dst.HugepageLimits = append(dst.HugepageLimits, h)
	}
	if len(src.Unified) > 0 {
		if dst.Unified == nil {
			dst.Unified = map[string]string{}
		}
		maps.Copy(dst.Unified, src.Unified)
	}
}

func mergeCPU(dst, src *specs.LinuxCPU) *specs.LinuxCPU {
	if dst == nil {
		dst = &specs.LinuxCPU{}
	}
	dst.Period = first(src.Period, dst.Period)
	dst.Quota = first(src.Quota, dst.Quota)
	dst.Shares = first(src.Shares, dst.Shares)
	if src.Cpus != "" {
		dst.Cpus = src.Cpus
	}
	if src.Mems != "" {
		dst.Mems = src.Mems
	}
	return dst
}

// first is a copy of the first pointer that is set.
func first[T any](ps ...*T) *T {
	for _, p := range ps {
		if p != nil {
			v := *p
			return &v
		}
	}
	return nil
}
