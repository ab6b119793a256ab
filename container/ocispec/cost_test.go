package ocispec

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/internal/budget"
)

// lists are those of a request and of an image that building a spec goes through, each with its bound.
var lists = map[string]struct {
	most int
	fill func(in *Input, n int)
}{
	"image Env": {budget.Env, func(in *Input, n int) { in.Image.Config.Env = numbered(n, "V%d=x") }},
	"image Cmd": {budget.Arguments, func(in *Input, n int) { in.Image.Config.Cmd = numbered(n, "%d") }},
	"image volume": {budget.Mounts, func(in *Input, n int) {
		in.Image.Config.Volumes = map[string]struct{}{}
		for _, v := range numbered(n, "/v/%d") {
			in.Image.Config.Volumes[v] = struct{}{}
		}
	}},
	"envs": {budget.Env, func(in *Input, n int) {
		for _, k := range numbered(n, "K%d") {
			in.Config.Envs = append(in.Config.Envs, &runtimeapi.KeyValue{Key: k})
		}
	}},
	"args": {budget.Arguments, func(in *Input, n int) { in.Config.Args = numbered(n, "%d") }},
	"mounts": {budget.Mounts, func(in *Input, n int) {
		for _, p := range numbered(n, "/m/%d") {
			in.Config.Mounts = append(in.Config.Mounts, &runtimeapi.Mount{ContainerPath: p, HostPath: "/vol"})
		}
	}},
	"devices": {budget.Devices, func(in *Input, n int) {
		for _, p := range numbered(n, "/dev/d%d") {
			in.Config.Devices = append(in.Config.Devices, &runtimeapi.Device{ContainerPath: p, HostPath: "/dev/kvm"})
		}
	}},
	"CDI devices": {budget.Devices, func(in *Input, n int) {
		in.CDI = anyCDI{}
		for _, d := range numbered(n, "v.com/gpu=%d") {
			in.Config.CDIDevices = append(in.Config.CDIDevices, &runtimeapi.CDIDevice{Name: d})
		}
	}},
	"annotations": {budget.Annotations, func(in *Input, n int) {
		in.Config.Annotations = map[string]string{}
		for _, k := range numbered(n, "x/%d") {
			in.Config.Annotations[k] = ""
		}
	}},
	"masked paths": {budget.HiddenPaths, func(in *Input, n int) { sc(in).MaskedPaths = numbered(n, "/p/%d") }},
	"drop": {budget.Capabilities, func(in *Input, n int) {
		sc(in).Capabilities = &runtimeapi.Capability{DropCapabilities: numbered(n, "C%d")}
	}},
}

func numbered(n int, format string) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf(format, i)
	}
	return out
}

// anyCDI knows every device.
type anyCDI struct{}

func (anyCDI) InjectDevices(*specs.Spec, ...string) ([]string, error) { return nil, nil }

// TestCostIsLinear builds with lists of a quarter of their bound, and of all of it: four times the input may cost ten
// times as much, where quadratic work would cost sixteen times. What counts is the time that this thread had a
// processor, so that other processes change it little, and the best of three; a cost so small that no quadratic work on
// so many entries could have it is not compared. Quadratic work is found by each of five tries, while a collection of
// garbage at the wrong moment is not.
func TestCostIsLinear(t *testing.T) {
	for name, l := range lists {
		t.Run(name, func(t *testing.T) {
			var few, many time.Duration
			for range 5 {
				few, many = cost(t, l.fill, l.most/4), cost(t, l.fill, l.most)
				if many <= 200*time.Millisecond || many <= 10*few {
					return
				}
			}
			t.Errorf("%d entries cost %v, %d cost %v", l.most/4, few, l.most, many)
		})
	}
}

// cost is the processor time of building with n entries, the best of three.
func cost(t *testing.T, fill func(*Input, int), n int) time.Duration {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	best := time.Hour
	for range 3 {
		in := input()
		in.Config.Command = nil
		fill(&in, n)
		start := threadTime(t)
		build(t, in)
		best = min(best, threadTime(t)-start)
	}
	return best
}

// threadTime is how long the calling thread has had a processor.
func threadTime(t *testing.T) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestListsAreBounded: one entry more than a bound is refused.
func TestListsAreBounded(t *testing.T) {
	for name, l := range lists {
		in := input()
		l.fill(&in, l.most+1)
		err := Validate(in.Config, in.Sandbox.Config)
		if err == nil {
			_, err = Build(in)
		}
		if !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
