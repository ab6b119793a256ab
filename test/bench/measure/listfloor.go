package measure

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	osexec "os/exec"
	"path"
	"path/filepath"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/bench/report"
	"github.com/berth-run/berth/test/bench/side"
)

// floorVar names the directory of a floor in the environment of the process that serves it.
const floorVar = "BERTH_BENCH_FLOOR"

// podsVar names the cgroup of the pods of which it reads the figures before it answers for their stats.
const podsVar = "BERTH_BENCH_FLOOR_PODS"

// ServeFloor makes of this process, when its environment says so, a gRPC server that knows
// nothing: it answers each call with the bytes of a file that is named after the method. That is
// what a list costs whatever the runtime does: gRPC, and the client that decodes it; and for stats
// the files that they are made of.
func ServeFloor() (bool, error) {
	dir := os.Getenv(floorVar)
	if dir == "" {
		return false, nil
	}
	files, err := newStatsFloor(os.Getenv(podsVar))
	if err != nil {
		return true, err
	}
	l, err := net.Listen("unix", floorSocket(dir))
	if err != nil {
		return true, err
	}
	answers := map[string][]byte{}
	handler := func(_ any, stream grpc.ServerStream) error {
		method, _ := grpc.MethodFromServerStream(stream)
		if err := stream.RecvMsg(nil); err != nil {
			return err
		}
		name := path.Base(method)
		if answers[name] == nil { // one caller, one call at a time
			var err error
			if answers[name], err = os.ReadFile(filepath.Join(dir, name)); err != nil {
				return err
			}
		}
		if err := files.read(name); err != nil {
			return err
		}
		return stream.SendMsg(answers[name])
	}
	return true, grpc.NewServer(grpc.UnknownServiceHandler(handler), grpc.ForceServerCodecV2(plain{})).Serve(l)
}

func floorSocket(dir string) string { return filepath.Join(dir, "socket") }

// plain sends bytes as they are, and does not look at what comes.
type plain struct{}

// Marshal implements encoding.CodecV2.
func (plain) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

// Unmarshal implements encoding.CodecV2.
func (plain) Unmarshal(mem.BufferSlice, any) error { return nil }

// Name implements encoding.CodecV2.
func (plain) Name() string { return "proto" }

// listFloor starts a floor of lists in a process of its own, with the answers of a side; end
// ends it.
func listFloor(ctx context.Context, of *side.Side) (_ *side.Side, end func() error, err error) {
	dir, err := os.MkdirTemp("", "bench-floor-")
	if err != nil {
		return nil, nil, err
	}
	undo := func() error { return os.RemoveAll(dir) }
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("the floor of lists: %w", err), undo())
		}
	}()
	if err := saveLists(ctx, of, dir); err != nil {
		return nil, nil, err
	}
	stop, err := startFloor(dir, of.Group.Pods())
	if err != nil {
		return nil, nil, err
	}
	undo = func() error { stop(); return os.RemoveAll(dir) }
	conn, err := grpc.NewClient("unix://"+floorSocket(dir), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	if err != nil {
		return nil, nil, err
	}
	undo = func() error { stop(); return errors.Join(conn.Close(), os.RemoveAll(dir)) }
	floor := &side.Side{Name: report.Floor, Runtime: runtimeapi.NewRuntimeServiceClient(conn)}
	starting, cancel := context.WithTimeout(ctx, floorStart)
	defer cancel()
	if _, err := lists(starting, floor.Runtime); err != nil { // when it serves, and is warm
		return nil, nil, err
	}
	return floor, undo, nil
}

// startFloor starts the process that serves what is in a directory.
func startFloor(dir, pods string) (stop func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	server := osexec.Command(self)
	server.Env = append(os.Environ(), floorVar+"="+dir, podsVar+"="+pods)
	server.Stderr = os.Stderr
	server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := server.Start(); err != nil {
		return nil, err
	}
	return func() {
		_ = server.Process.Kill() // it may have ended
		_ = server.Wait()
	}, nil
}

// floorStart is how long the floor may take to serve: it says itself why it does not.
const floorStart = 15 * time.Second

// saveLists writes a side's answers into files named after the methods.
func saveLists(ctx context.Context, of *side.Side, dir string) error {
	answers, err := lists(ctx, of.Runtime)
	if err != nil {
		return err
	}
	for name, m := range answers {
		raw, err := proto.Marshal(m)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), raw, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// lists are the answers to all calls that have a floor.
func lists(ctx context.Context, of runtimeapi.RuntimeServiceClient) (map[string]proto.Message, error) {
	pods, err := of.ListPodSandbox(ctx, &runtimeapi.ListPodSandboxRequest{})
	if err != nil {
		return nil, err
	}
	containers, err := of.ListContainers(ctx, &runtimeapi.ListContainersRequest{})
	if err != nil {
		return nil, err
	}
	podStats, err := of.ListPodSandboxStats(ctx, &runtimeapi.ListPodSandboxStatsRequest{})
	if err != nil {
		return nil, err
	}
	ctrStats, err := of.ListContainerStats(ctx, &runtimeapi.ListContainerStatsRequest{})
	return map[string]proto.Message{
		"ListPodSandbox": pods, "ListContainers": containers,
		"ListPodSandboxStats": podStats, "ListContainerStats": ctrStats,
	}, err
}
