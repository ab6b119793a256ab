package cri

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/internal/index"
)

// TestFillList: a client decodes what was encoded element by element as the list it is.
func TestFillList(t *testing.T) {
	var entries []index.Entry
	for _, id := range []string{"a", "b"} {
		entry, err := new(index.Cached).Entry(int32(runtimeapi.PodSandboxState_SANDBOX_NOTREADY), func() proto.Message {
			return &runtimeapi.PodSandbox{Id: id, State: runtimeapi.PodSandboxState_SANDBOX_NOTREADY, Labels: map[string]string{"app": id}}
		})
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, entry)
	}
	empty := &runtimeapi.ListPodSandboxResponse{}
	if fillList(empty, nil); proto.Size(empty) != 0 {
		t.Errorf("of nothing: %v", empty)
	}
	for _, m := range []proto.Message{&runtimeapi.ListPodSandboxResponse{}, &runtimeapi.StreamPodSandboxesResponse{}} {
		fillList(m, entries)
		raw, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		var got runtimeapi.ListPodSandboxResponse
		if err := proto.Unmarshal(raw, &got); err != nil {
			t.Fatal(err)
		}
		if len(got.GetItems()) != 2 || got.GetItems()[1].GetLabels()["app"] != "b" ||
			got.GetItems()[0].GetState() != runtimeapi.PodSandboxState_SANDBOX_NOTREADY {
			t.Errorf("%T became %v", m, &got)
		}
	}
}

// TestFieldNumbers: every response that fillList is used for has its elements in that field.
func TestFieldNumbers(t *testing.T) {
	for _, m := range []proto.Message{
		&runtimeapi.ListPodSandboxResponse{}, &runtimeapi.StreamPodSandboxesResponse{},
		&runtimeapi.ListContainersResponse{}, &runtimeapi.StreamContainersResponse{},
		&runtimeapi.ListContainerStatsResponse{}, &runtimeapi.StreamContainerStatsResponse{},
		&runtimeapi.ListPodSandboxStatsResponse{}, &runtimeapi.StreamPodSandboxStatsResponse{},
	} {
		f := m.ProtoReflect().Descriptor().Fields()
		if !isEncoded(m) || f.Len() != 1 || f.Get(0).Number() != index.ListField || !f.Get(0).IsList() {
			t.Errorf("%T is no list in field %d", m, index.ListField)
		}
	}
}

// lister is a service that lists as many containers as its filter says, each with that number as its image.
type lister struct {
	runtimeapi.UnimplementedRuntimeServiceServer
}

func entriesOf(filter *runtimeapi.ContainerFilter) ([]index.Entry, error) {
	n, err := strconv.Atoi(filter.GetId())
	if err != nil {
		return nil, err
	}
	out := make([]index.Entry, n)
	for i := range out {
		out[i], err = new(index.Cached).Entry(1, func() proto.Message {
			return &runtimeapi.Container{Id: strconv.Itoa(i), ImageRef: strings.Repeat(filter.GetId(), 20)}
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (lister) ListContainers(_ context.Context, r *runtimeapi.ListContainersRequest) (*runtimeapi.ListContainersResponse, error) {
	entries, err := entriesOf(r.GetFilter())
	resp := &runtimeapi.ListContainersResponse{}
	fillList(resp, entries)
	return resp, err
}

func (lister) StreamContainers(r *runtimeapi.StreamContainersRequest, out grpc.ServerStreamingServer[runtimeapi.StreamContainersResponse]) error {
	entries, err := entriesOf(r.GetFilter())
	if err != nil {
		return err
	}
	return sendEntries(entries, out.Send)
}

// TestBuffersAreUsedAgain: many who list at once get what they asked for, although some give up and some ask for
// more than may be sent.
func TestBuffersAreUsedAgain(t *testing.T) {
	server := grpc.NewServer(grpc.ForceServerCodecV2(newCodec()), grpc.MaxSendMsgSize(200<<10))
	runtimeapi.RegisterRuntimeServiceServer(server, lister{})
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	client := runtimeapi.NewRuntimeServiceClient(conn)
	var callers sync.WaitGroup
	for caller := range 8 {
		callers.Go(func() {
			for round := range 60 {
				if err := askForLists(client, 1+(caller*101+round*37)%700, round%5 == 0); err != nil {
					t.Error(err)
				}
			}
		})
	}
	callers.Wait()
	if _, err := client.ListContainers(t.Context(), listOf(5000)); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a list that is too long: %v", err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	server.Stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func listOf(n int) *runtimeapi.ListContainersRequest {
	return &runtimeapi.ListContainersRequest{Filter: &runtimeapi.ContainerFilter{Id: strconv.Itoa(n)}}
}

// askForLists asks for n containers in both ways, and perhaps gives up.
func askForLists(client runtimeapi.RuntimeServiceClient, n int, giveUp bool) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if giveUp {
		time.AfterFunc(time.Duration(n)*time.Microsecond, cancel)
	}
	r, err := client.ListContainers(ctx, listOf(n))
	if err == nil {
		err = isListOf(r.GetContainers(), n)
	}
	stream, serr := client.StreamContainers(ctx, &runtimeapi.StreamContainersRequest{Filter: listOf(n).GetFilter()})
	var got []*runtimeapi.Container
	for serr == nil {
		var some *runtimeapi.StreamContainersResponse
		if some, serr = stream.Recv(); serr == nil {
			got = append(got, some.GetContainers()...)
		}
	}
	if serr == io.EOF {
		serr = isListOf(got, n)
	}
	if giveUp && ctx.Err() != nil {
		return nil
	}
	return errors.Join(err, serr)
}

func isListOf(got []*runtimeapi.Container, n int) error {
	if len(got) != n {
		return fmt.Errorf("%d containers, want %d", len(got), n)
	}
	for i, c := range got {
		if c.GetId() != strconv.Itoa(i) || c.GetImageRef() != strings.Repeat(strconv.Itoa(n), 20) {
			return fmt.Errorf("container %d of %d is %v", i, n, c)
		}
	}
	return nil
}
