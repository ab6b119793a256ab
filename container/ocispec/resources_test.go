package ocispec

import (
	"reflect"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/internal/hostinfo"
)

func ptr[T any](v T) *T { return &v }

func full() *runtimeapi.LinuxContainerResources {
	return &runtimeapi.LinuxContainerResources{
		CpuPeriod: 100000, CpuQuota: 20000, CpuShares: 204, MemoryLimitInBytes: gib, MemorySwapLimitInBytes: 2 * gib,
		OomScoreAdj: 10, CpusetCpus: "0-1", CpusetMems: "0",
		HugepageLimits: []*runtimeapi.HugepageLimit{{PageSize: "2MB", Limit: 4 << 20}},
		Unified:        map[string]string{"memory.high": "1000"},
	}
}

// TestThereAndBack: what is asked for is what the status reports.
func TestThereAndBack(t *testing.T) {
	in := input()
	in.Config.Linux.Resources = full()
	if got := ToCRI(build(t, in).Spec); !proto.Equal(got, full()) {
		t.Errorf("got  %v\nwant %v", got, full())
	}
}

func TestNothingSpecified(t *testing.T) {
	r, w, err := Resources(nil, ResourceOptions{Host: host(hostinfo.CgroupV2)})
	if err != nil || len(w) != 0 || !reflect.DeepEqual(r, &specs.LinuxResources{}) {
		t.Errorf("got %+v, %v, %v", r, w, err)
	}
	if got := ToCRI(nil); !proto.Equal(got, &runtimeapi.LinuxContainerResources{}) {
		t.Errorf("got %v", got)
	}
}

func TestUpdate(t *testing.T) {
	in := input()
	in.Config.Linux.Resources = full()
	s := build(t, in).Spec
	before := clone(s)
	o := ResourceOptions{Host: in.Host}

	updated, changed, err := Update(s, &runtimeapi.LinuxContainerResources{
		CpuQuota: 70000, MemoryLimitInBytes: 3 * gib, Unified: map[string]string{"io.weight": "5"},
		HugepageLimits: []*runtimeapi.HugepageLimit{{PageSize: "2MB", Limit: 1 << 21}, {PageSize: "1GB", Limit: gib}},
	}, o)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(s, before) {
		t.Error("Update changed the spec it was given")
	}
	want := &specs.LinuxResources{
		CPU:            &specs.LinuxCPU{Quota: ptr(int64(70000))},
		Memory:         &specs.LinuxMemory{Limit: ptr(int64(3 * gib)), Swap: ptr(int64(3 * gib))},
		HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "2MB", Limit: 1 << 21}, {Pagesize: "1GB", Limit: gib}},
		Unified:        map[string]string{"io.weight": "5"},
	}
	if !reflect.DeepEqual(changed, want) {
		t.Errorf("changed: got %+v", changed)
	}
	got, wantCRI := ToCRI(updated), full()
	wantCRI.CpuQuota, wantCRI.MemoryLimitInBytes, wantCRI.MemorySwapLimitInBytes = 70000, 3*gib, 3*gib
	wantCRI.Unified["io.weight"] = "5"
	wantCRI.HugepageLimits = []*runtimeapi.HugepageLimit{{PageSize: "2MB", Limit: 1 << 21}, {PageSize: "1GB", Limit: gib}}
	if !proto.Equal(got, wantCRI) {
		t.Errorf("got  %v\nwant %v", got, wantCRI)
	}
	if _, _, err := Update(s, &runtimeapi.LinuxContainerResources{CpuQuota: 5}, o); err == nil {
		t.Error("a quota of 5 µs is accepted")
	}
	if len(updated.Linux.Resources.Devices) != len(s.Linux.Resources.Devices) {
		t.Error("device rules were lost")
	}
}

func TestMemoryWithoutSwap(t *testing.T) {
	for _, c := range []struct {
		limit, swap int64
		accounting  bool
		wantSwap    *int64
		warns       bool
	}{
		{limit: gib, accounting: true, wantSwap: ptr(int64(gib))},
		{limit: gib, swap: 2 * gib, accounting: true, wantSwap: ptr(int64(2 * gib))},
		{limit: gib, swap: -1, accounting: true, wantSwap: ptr(int64(-1))},
		{limit: gib},
		{limit: gib, swap: gib},
		{limit: gib, swap: 2 * gib, warns: true},
	} {
		h := host(hostinfo.CgroupV1)
		h.Swap = c.accounting
		r, w, err := Resources(&runtimeapi.LinuxContainerResources{MemoryLimitInBytes: c.limit, MemorySwapLimitInBytes: c.swap}, ResourceOptions{Host: h})
		if err != nil || *r.Memory.Limit != c.limit || !reflect.DeepEqual(r.Memory.Swap, c.wantSwap) || (len(w) > 0) != c.warns {
			t.Errorf("%+v: got %+v, %v, %v", c, r.Memory, w, err)
		}
	}
}
