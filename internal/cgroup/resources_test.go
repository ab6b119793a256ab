package cgroup

import (
	"errors"
	"reflect"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/cgroups"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

type lcr = runtimeapi.LinuxContainerResources

func TestPodResources(t *testing.T) {
	for name, c := range map[string]struct {
		mode      Mode
		res, over *lcr
		want      *cgroups.Resources
		fails     error
	}{
		"nothing": {mode: Legacy, res: &lcr{}},
		"sum": {
			mode: Legacy,
			res:  &lcr{CpuShares: 512, CpuQuota: 50000, CpuPeriod: 100000, MemoryLimitInBytes: 100 << 20},
			over: &lcr{CpuShares: 102, CpuQuota: 10000, CpuPeriod: 50000, MemoryLimitInBytes: 20 << 20},
			want: &cgroups.Resources{CpuShares: 614, CpuQuota: 70000, CpuPeriod: 100000, Memory: 120 << 20},
		},
		"overhead makes no limit": {
			mode: Legacy,
			res:  &lcr{CpuShares: 2},
			over: &lcr{CpuQuota: 1000, CpuPeriod: 100000, MemoryLimitInBytes: 1 << 20},
			want: &cgroups.Resources{CpuShares: 2},
		},
		"limits taken away": {
			mode: Legacy,
			res:  &lcr{CpuQuota: -1, MemoryLimitInBytes: -1},
			over: &lcr{CpuQuota: 1000, MemoryLimitInBytes: 1 << 20},
			want: &cgroups.Resources{CpuQuota: -1, CpuPeriod: 100000, Memory: -1},
		},
		"weight and unified on v2": {
			mode: Unified,
			res:  &lcr{CpuShares: 1024, Unified: map[string]string{"memory.high": "1000"}},
			want: &cgroups.Resources{CpuWeight: 100, Unified: map[string]string{"memory.high": "1000"}},
		},
		"hugepages": {
			mode: Unified,
			res:  &lcr{HugepageLimits: []*runtimeapi.HugepageLimit{{PageSize: "2MB", Limit: 4}, {PageSize: "1GB", Limit: 1}}},
			over: &lcr{HugepageLimits: []*runtimeapi.HugepageLimit{{PageSize: "2MB", Limit: 2}}},
			want: &cgroups.Resources{HugetlbLimit: []*cgroups.HugepageLimit{{Pagesize: "2MB", Limit: 6}, {Pagesize: "1GB", Limit: 1}}},
		},
		"unified on v1": {
			mode: Hybrid, res: &lcr{Unified: map[string]string{"memory.high": "1"}}, fails: errdefs.ErrInvalidArgument,
		},
		"negative": {mode: Legacy, res: &lcr{CpuShares: -1}, fails: errdefs.ErrInvalidArgument},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := podResources(c.mode, c.res, c.over)
			if !errors.Is(err, c.fails) {
				t.Fatalf("error %v, want %v", err, c.fails)
			}
			if c.want != nil {
				c.want.SkipDevices, c.want.SkipFreezeOnSet = true, true
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}
