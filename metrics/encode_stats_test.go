package metrics

import (
	"context"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/internal/index"
)

// decoded is what a client makes of entries.
func decoded[T any, M interface {
	*T
	proto.Message
}](t *testing.T, entries []index.Entry) []M {
	t.Helper()
	var out []M
	for _, e := range entries {
		m := M(new(T))
		if err := e.Decode(m); err != nil {
			t.Fatal(err)
		}
		out = append(out, m)
	}
	return out
}

// TestStatsOnTheWire: every field of CRI's stats is where a client looks for it, and nothing is where it
// does not. TestStatsFields has the values of the other figures.
func TestStatsOnTheWire(t *testing.T) {
	h := v2Host(t)
	pod, ctr := testPod("p1", "/kubepods/p1"), testContainer("c1", "p1", "/kubepods/p1/c1")
	pod.NetnsPath, pod.Metadata.Attempt, ctr.Metadata.Attempt = "/somewhere", 300, 7
	long := strings.Repeat("long ", 5000)
	pod.Annotations, ctr.Annotations = map[string]string{"a": long, "none": ""}, map[string]string{"b": "c"}
	usage := NewUsageCache(func(context.Context, string, string) (uint64, uint64, error) { return 1 << 40, 3, nil },
		UsageOptions{Mountpoint: func(string) string { return "/var/lib" }})
	t.Cleanup(usage.Close)
	s := NewSampler(h, &listSource{pods: []PodRef{pod}, ctrs: []ContainerRef{ctr}}, Options{Network: fixedNetwork, Usage: usage, MaxAge: 1})
	got, began := &runtimeapi.PodSandboxStats{}, time.Now()
	full := func() bool {
		pod, ctrs := got.GetLinux().GetCpu(), got.GetLinux().GetContainers()
		return pod.GetUsageNanoCores() != nil && ctrs[0].GetCpu().GetUsageNanoCores() != nil && ctrs[0].GetWritableLayer() != nil
	}
	for !full() {
		got = decoded[runtimeapi.PodSandboxStats](t, s.ListPodSandboxStats(context.Background(), nil))[0]
		if time.Since(began) > time.Minute {
			t.Fatalf("no rate or no layer: %v", got)
		}
	}
	n := func(v uint64) *runtimeapi.UInt64Value { return &runtimeapi.UInt64Value{Value: v} }
	for name, pair := range map[string][2]proto.Message{
		"network": {got.Linux.Network.DefaultInterface, &runtimeapi.NetworkInterfaceUsage{
			Name: "eth0", RxBytes: n(10), RxErrors: n(2), TxBytes: n(20), TxErrors: n(3)}},
		"PSI of CPU": {got.Linux.Cpu.Psi, &runtimeapi.PsiStats{
			Some: &runtimeapi.PsiData{Avg10: 1.53, Avg60: .87, Avg300: .21, Total: 5123456000}, Full: &runtimeapi.PsiData{Total: 412345000}}},
		"PSI of IO": {got.Linux.Io.Psi, &runtimeapi.PsiStats{
			Some: &runtimeapi.PsiData{Avg10: 12, Avg60: 3.4, Avg300: .99, Total: 98765000},
			Full: &runtimeapi.PsiData{Avg10: 11, Avg60: 3, Avg300: .9, Total: 87654000}}},
	} {
		if !proto.Equal(pair[0], pair[1]) {
			t.Errorf("%s: %v, want %v", name, pair[0], pair[1])
		}
	}
	if !maps.Equal(got.Attributes.Annotations, pod.Annotations) || !proto.Equal(got.Attributes.Metadata, pod.Metadata) {
		t.Errorf("attributes: %v", got.Attributes)
	}
	if err := complete("PodSandboxStats", got.ProtoReflect()); err != nil {
		t.Error(err)
	}
	if c := got.Linux.Containers[0]; c.WritableLayer.UsedBytes.Value != 1<<40 || c.WritableLayer.FsId.Mountpoint != "/var/lib" ||
		!proto.Equal(c.Attributes.Metadata, ctr.Metadata) {
		t.Errorf("container: %v", c)
	}
}

// complete tells of fields without a value, of what has one on Linux, and of unknown ones.
func complete(name string, m protoreflect.Message) (err error) {
	if len(m.GetUnknown()) > 0 {
		err = errors.New(name + " has an unknown field")
	}
	if !m.IsValid() || m.Descriptor().Name() == "UInt64Value" || m.Descriptor().Name() == "PsiData" {
		return err
	}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		path := name + "." + string(f.Name())
		switch {
		case f.Name() == "windows":
		case !m.Has(f):
			err = errors.Join(err, errors.New(path+" is missing"))
		case f.IsMap() || f.Message() == nil:
		case f.IsList():
			for k := range m.Get(f).List().Len() {
				err = errors.Join(err, complete(path, m.Get(f).List().Get(k).Message()))
			}
		default:
			err = errors.Join(err, complete(path, m.Get(f).Message()))
		}
	}
	return err
}

// TestAppendMessage: messages of every length have the right one.
func TestAppendMessage(t *testing.T) {
	for _, size := range []int{0, 1, 127 - 3, 127, 128, 129, 16383, 16384, 20000, 3 << 20} {
		want := &runtimeapi.FilesystemIdentifier{Mountpoint: strings.Repeat("x", size)}
		wire := appendMessage([]byte("before"), 2, func(b []byte) []byte { return appendString(b, 1, want.Mountpoint) })
		var got runtimeapi.FilesystemUsage
		if err := proto.Unmarshal(wire[len("before"):], &got); err != nil || !proto.Equal(got.FsId, want) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	for _, v := range []uint64{0, 1, 127, 128, 1 << 63} {
		var got runtimeapi.FilesystemUsage
		if err := proto.Unmarshal(appendNumber(nil, 3, v), &got); err != nil || got.UsedBytes == nil || got.UsedBytes.Value != v {
			t.Errorf("%d: %v %v", v, &got, err)
		}
	}
}
