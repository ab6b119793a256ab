package taskapi

import (
	"reflect"
	"testing"
	"time"

	"github.com/berth-run/berth/shim/pb"
	"github.com/containerd/containerd/api/events"
	taskAPI "github.com/containerd/containerd/api/runtime/task/v3"
	eventsAPI "github.com/containerd/containerd/api/services/ttrpc/events/v1"
	"github.com/containerd/containerd/api/types"
	"github.com/containerd/containerd/api/types/runc/options"
	tasktypes "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/errdefs"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func encode(t *testing.T, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// same checks that b is the encoding of want.
func same(t *testing.T, b []byte, want proto.Message) {
	t.Helper()
	got := want.ProtoReflect().New().Interface()
	if err := proto.Unmarshal(b, got); err != nil {
		t.Fatalf("%T: %v", want, err)
	}
	if !proto.Equal(got, want) {
		t.Errorf("%T is read as %v, want %v", want, got, want)
	}
}

// equal checks what was read.
func equal[T any](t *testing.T, got T, err error, want T) {
	t.Helper()
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("read %+v, %v, want %+v", got, err, want)
	}
}

func TestRequests(t *testing.T) {
	create := &taskAPI.CreateTaskRequest{
		ID: "c", Bundle: "/b", Terminal: true, Stdin: "i", Stdout: "o", Stderr: "e", Checkpoint: "k", ParentCheckpoint: "p",
		Rootfs: []*types.Mount{
			{Type: "overlay", Source: "overlay", Target: "t", Options: []string{"lowerdir=/a:/b", ""}}, {Type: "bind"},
		},
		Options: &anypb.Any{TypeUrl: OptionsURL, Value: []byte("v")},
	}
	r, err := ReadCreateRequest(encode(t, create))
	equal(t, r, err, CreateRequest{
		ID: "c", Bundle: "/b", Checkpoint: "k", Stdio: Stdio{"i", "o", "e", true},
		Rootfs: []Mount{
			{Type: "overlay", Source: "overlay", Target: "t", Options: []string{"lowerdir=/a:/b", ""}}, {Type: "bind"},
		},
		Options: pb.Any{URL: OptionsURL, Value: []byte("v")},
	})
	x, err := ReadExecRequest(encode(t, &taskAPI.ExecProcessRequest{
		ID: "c", ExecID: "x", Terminal: true, Stdin: "i", Stdout: "o", Stderr: "e", Spec: &anypb.Any{TypeUrl: "u", Value: []byte("{}")},
	}))
	equal(t, x, err, ExecRequest{ID: "c", ExecID: "x", Stdio: Stdio{"i", "o", "e", true}, Spec: pb.Any{URL: "u", Value: []byte("{}")}})
	k, err := ReadKillRequest(encode(t, &taskAPI.KillRequest{ID: "c", ExecID: "x", Signal: 9, All: true}))
	equal(t, k, err, KillRequest{Process{"c", "x"}, 9, true})
	z, err := ReadResizeRequest(encode(t, &taskAPI.ResizePtyRequest{ID: "c", ExecID: "x", Width: 80, Height: 25}))
	equal(t, z, err, ResizeRequest{Process{"c", "x"}, 80, 25})
	u, err := ReadUpdateRequest(encode(t, &taskAPI.UpdateTaskRequest{
		ID: "c", Resources: &anypb.Any{Value: []byte("{}")}, Annotations: map[string]string{"a": "b"},
	}))
	equal(t, u, err, UpdateRequest{"c", pb.Any{Value: []byte("{}")}})
	for _, m := range []proto.Message{
		&taskAPI.StartRequest{ID: "c", ExecID: "x"}, &taskAPI.DeleteRequest{ID: "c", ExecID: "x"},
		&taskAPI.StateRequest{ID: "c", ExecID: "x"}, &taskAPI.WaitRequest{ID: "c", ExecID: "x"},
		&taskAPI.CloseIORequest{ID: "c", ExecID: "x", Stdin: true},
	} {
		p, err := ReadProcess(encode(t, m))
		equal(t, p, err, Process{"c", "x"})
	}
	for _, m := range []proto.Message{
		&taskAPI.PidsRequest{ID: "c"}, &taskAPI.PauseRequest{ID: "c"}, &taskAPI.ResumeRequest{ID: "c"},
		&taskAPI.StatsRequest{ID: "c"}, &taskAPI.ConnectRequest{ID: "c"}, &taskAPI.ShutdownRequest{ID: "c", Now: true},
	} {
		id, err := ReadID(encode(t, m))
		equal(t, id, err, "c")
	}
}

func TestOptions(t *testing.T) {
	o := &options.Options{
		NoPivotRoot: true, NoNewKeyring: true, ShimCgroup: "s", IoUid: 1, IoGid: 2, BinaryName: "runc", Root: "/r", SystemdCgroup: true,
	}
	got, err := ReadOptions(pb.Any{URL: OptionsURL, Value: encode(t, o)})
	equal(t, got, err, Options{
		NoPivotRoot: true, NoNewKeyring: true, IoUID: 1, IoGID: 2, BinaryName: "runc", Root: "/r", SystemdCgroup: true,
	})
	if _, err := ReadOptions(pb.Any{URL: "other", Value: []byte("x")}); !errdefs.IsInvalidArgument(err) {
		t.Errorf("options of another type: %v", err)
	}
	if got, err := ReadOptions(pb.Any{}); err != nil || got != (Options{}) {
		t.Errorf("no options: %+v, %v", got, err)
	}
	if string(new(options.Options).ProtoReflect().Descriptor().FullName()) != OptionsURL {
		t.Error("the options have another name")
	}
}

func TestResponses(t *testing.T) {
	at := time.Unix(1700000000, 5).UTC()
	ts := timestamppb.New(at)
	same(t, PID(7), &taskAPI.CreateTaskResponse{Pid: 7})
	same(t, PID(7), &taskAPI.StartResponse{Pid: 7})
	same(t, Exit(3, at), &taskAPI.WaitResponse{ExitStatus: 3, ExitedAt: ts})
	same(t, Deleted(7, 137, at), &taskAPI.DeleteResponse{Pid: 7, ExitStatus: 137, ExitedAt: ts})
	same(t, Deleted(0, 0, time.Time{}), &taskAPI.DeleteResponse{})
	same(t, Connected(1, 2), &taskAPI.ConnectResponse{ShimPid: 1, TaskPid: 2})
	same(t, State{
		ID: "c", ExecID: "x", Bundle: "/b", PID: 7, Status: Paused, Stdio: Stdio{"i", "o", "e", true}, ExitCode: 1, ExitedAt: at,
	}.Encode(), &taskAPI.StateResponse{
		ID: "c", ExecID: "x", Bundle: "/b", Pid: 7, Status: tasktypes.Status_PAUSED,
		Stdin: "i", Stdout: "o", Stderr: "e", Terminal: true, ExitStatus: 1, ExitedAt: ts,
	})
	details, err := anypb.New(&options.ProcessDetails{ExecID: "x"})
	if err != nil {
		t.Fatal(err)
	}
	details.TypeUrl = "containerd.runc.v1.ProcessDetails" // as typeurl names it
	same(t, PIDs([]int{1, 2}, map[int]string{2: "x"}), &taskAPI.PidsResponse{
		Processes: []*tasktypes.ProcessInfo{{Pid: 1}, {Pid: 2, Info: details}},
	})
	same(t, Stats(pb.Any{URL: "u", Value: []byte("v")}), &taskAPI.StatsResponse{Stats: &anypb.Any{TypeUrl: "u", Value: []byte("v")}})
	for s, want := range map[Status]tasktypes.Status{
		Unknown: tasktypes.Status_UNKNOWN, Created: tasktypes.Status_CREATED, Running: tasktypes.Status_RUNNING,
		Stopped: tasktypes.Status_STOPPED, Paused: tasktypes.Status_PAUSED, Pausing: tasktypes.Status_PAUSING,
	} {
		if int32(s) != int32(want) {
			t.Errorf("%v is %d", want, s)
		}
	}
}

func TestEvents(t *testing.T) {
	at := time.Unix(1700000000, 5).UTC()
	ts := timestamppb.New(at)
	r := &CreateRequest{
		ID: "c", Bundle: "/b", Checkpoint: "k", Stdio: Stdio{"i", "o", "e", true},
		Rootfs: []Mount{{Type: "overlay", Source: "s", Target: "t", Options: []string{"a", ""}}},
	}
	p := Process{"c", "x"}
	for _, tc := range []struct {
		got  Event
		want proto.Message
	}{
		{TaskCreate(r, 7), &events.TaskCreate{
			ContainerID: "c", Bundle: "/b", Checkpoint: "k", Pid: 7, IO: &events.TaskIO{Stdin: "i", Stdout: "o", Stderr: "e", Terminal: true},
			Rootfs: []*types.Mount{{Type: "overlay", Source: "s", Target: "t", Options: []string{"a", ""}}},
		}},
		{TaskStart("c", 7), &events.TaskStart{ContainerID: "c", Pid: 7}},
		{TaskDelete("c", 7, 1, at), &events.TaskDelete{ContainerID: "c", Pid: 7, ExitStatus: 1, ExitedAt: ts}},
		{TaskExit(p, 7, 1, at), &events.TaskExit{ContainerID: "c", ID: "x", Pid: 7, ExitStatus: 1, ExitedAt: ts}},
		{TaskOOM("c"), &events.TaskOOM{ContainerID: "c"}},
		{TaskPaused("c"), &events.TaskPaused{ContainerID: "c"}},
		{TaskResumed("c"), &events.TaskResumed{ContainerID: "c"}},
		{TaskExecAdded(p), &events.TaskExecAdded{ContainerID: "c", ExecID: "x"}},
		{TaskExecStarted(p, 7), &events.TaskExecStarted{ContainerID: "c", ExecID: "x", Pid: 7}},
	} {
		same(t, tc.got.Value, tc.want)
		if name := string(tc.want.ProtoReflect().Descriptor().FullName()); tc.got.Type != name {
			t.Errorf("%s is named %s", name, tc.got.Type)
		}
		same(t, tc.got.Forward("k8s.io", at), &eventsAPI.ForwardRequest{Envelope: &types.Envelope{
			Timestamp: ts, Namespace: "k8s.io", Topic: tc.got.Topic, Event: &anypb.Any{TypeUrl: tc.got.Type, Value: tc.got.Value},
		}})
	}
}

// FuzzReadCreateRequest shows that no message breaks the reader.
func FuzzReadCreateRequest(f *testing.F) {
	f.Add([]byte{0x0a, 0x01, 'c'})
	f.Add([]byte{0x1a, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := ReadCreateRequest(b); err != nil && !errdefs.IsInvalidArgument(err) {
			t.Error(err)
		}
	})
}
