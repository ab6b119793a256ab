package metrics

import (
	"context"
	"errors"
	"testing"
	"time"

	v1 "github.com/containerd/cgroups/v3/cgroup1/stats"
	v2 "github.com/containerd/cgroups/v3/cgroup2/stats"
	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"
	"go.uber.org/goleak"
)

// Containers without cgroups on this host have what their shim says; one whose shim
// hangs has nothing, and holds nobody up.
func TestForeign(t *testing.T) {
	defer goleak.VerifyNone(t)
	h := v2Host(t)
	vm, hung, local := testContainer("vm", "p1", "/absent/vm"), testContainer("hung", "p1", "/absent/hung"), testContainer("c1", "p1", "/kubepods/p1/c1")
	vm.Foreign, hung.Foreign, local.Foreign = true, true, true
	src := &listSource{pods: []PodRef{testPod("p1", "/kubepods/p1")}, ctrs: []ContainerRef{vm, hung, local}}
	asked := make(chan string, 10)
	s := NewSampler(h, src, Options{MaxAge: time.Nanosecond, Foreign: func(ctx context.Context, id string) (Sample, error) {
		asked <- id
		if id == "hung" {
			<-ctx.Done()
			return Sample{}, ctx.Err()
		}
		return Sample{CPU: &CPU{Usage: 5e9}, Memory: &Memory{Usage: 100, WorkingSet: 80}}, nil
	}})
	defer s.Close()
	start := time.Now()
	eventually(t, func() bool {
		st, err := s.ContainerStats(context.Background(), "vm")
		return err == nil && st.Cpu.GetUsageCoreNanoSeconds().GetValue() == 5e9 && st.Memory.GetWorkingSetBytes().GetValue() == 80
	})
	if st, err := s.ContainerStats(context.Background(), "hung"); err != nil || st.Cpu != nil {
		t.Errorf("hung: %v %v", st, err)
	}
	if st, err := s.ContainerStats(context.Background(), "c1"); err != nil || st.Memory.GetRssBytes().GetValue() != 52428800 {
		t.Errorf("with a cgroup: %v %v", st, err)
	}
	if d := time.Since(start); d > foreignTimeout {
		t.Errorf("a shim that hangs held everybody up for %s", d)
	}
	s.Close() // nobody is asked any more
	close(asked)
	for id := range asked {
		if id == "c1" {
			t.Error("a container with a cgroup here was asked for")
		}
	}
}

func TestFromTask(t *testing.T) {
	for _, m := range []any{
		&v1.Metrics{
			CPU:    &v1.CPUStat{Usage: &v1.CPUUsage{Total: 7e9}},
			Memory: &v1.MemoryStat{Usage: &v1.MemoryEntry{Usage: 100, Limit: 1<<63 - 4096}, TotalRSS: 50, TotalInactiveFile: 20},
			Pids:   &v1.PidsStat{Current: 3},
			Blkio: &v1.BlkIOStat{
				IoServiceBytesRecursive: []*v1.BlkIOEntry{{Op: "Read", Major: 8, Value: 4096}},
				IoServicedRecursive:     []*v1.BlkIOEntry{{Op: "Read", Major: 8, Value: 1}},
			},
		},
		&v2.Metrics{
			CPU:    &v2.CPUStat{UsageUsec: 7e6},
			Memory: &v2.MemoryStat{Usage: 100, UsageLimit: 1<<64 - 1, Anon: 50, InactiveFile: 20},
			Pids:   &v2.PidsStat{Current: 3},
			Io:     &v2.IOStat{Usage: []*v2.IOEntry{{Major: 8, Rbytes: 4096, Rios: 1}}},
		},
	} {
		data, err := typeurl.MarshalAny(m)
		if err != nil {
			t.Fatal(err)
		}
		s, err := FromTask(data)
		if err != nil {
			t.Fatal(err)
		}
		if s.CPU.Usage != 7e9 || s.Memory.WorkingSet != 80 || s.Memory.RSS != 50 || s.Memory.Limit != 0 || s.Pids.Threads != 3 ||
			len(s.IO) != 1 || s.IO[0].Device != "8:0" || s.IO[0].ReadBytes != 4096 || s.IO[0].Reads != 1 {
			t.Errorf("%T: %+v %+v %+v", m, s.CPU, s.Memory, s.IO)
		}
	}
	data, err := typeurl.MarshalAny(&v2.PidsStat{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := FromTask(data); !errors.Is(err, errdefs.ErrNotImplemented) {
		t.Errorf("another form: %v", err)
	}
}
