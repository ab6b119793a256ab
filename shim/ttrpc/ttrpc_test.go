package ttrpc

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/berth-run/berth/shim/pb"
	taskAPI "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/ttrpc"
)

func listen(t *testing.T) *net.UnixListener {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "s")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// client is containerd's implementation.
func client(t *testing.T, l *net.UnixListener) taskAPI.TTRPCTaskService {
	t.Helper()
	conn, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c := ttrpc.NewClient(conn)
	t.Cleanup(func() { c.Close() })
	return taskAPI.NewTTRPCTaskClient(c)
}

func TestServerWithContainerdsClient(t *testing.T) {
	l := listen(t)
	s := &Server{Handle: func(ctx context.Context, q *Request) ([]byte, error) {
		if q.Service != "containerd.task.v3.Task" || q.Namespace != "k8s.io" {
			t.Errorf("request %+v", q)
		}
		var id string
		if err := pb.Each(q.Payload, func(f pb.Field) error { id = f.String(); return nil }); err != nil {
			return nil, err
		}
		switch id {
		case "wait":
			<-ctx.Done()
			return nil, ctx.Err()
		case "missing":
			return nil, errors.Join(errors.New("said so"), errdefs.ErrNotFound)
		case "odd":
			return nil, errors.New("no class")
		case "bytes":
			return nil, errors.New("file \xff is missing")
		}
		return pb.String(nil, 3, id), nil
	}}
	go s.Serve(t.Context(), l)
	c := client(t, l)
	ctx := namespaces.WithNamespace(t.Context(), "k8s.io")
	var wg sync.WaitGroup
	for _, id := range []string{"a", strings.Repeat("long", 1<<18), ""} {
		wg.Go(func() {
			r, err := c.Connect(ctx, &taskAPI.ConnectRequest{ID: id})
			if err != nil || r.Version != id {
				t.Errorf("%.10q: %v, %v", id, r.GetVersion(), err)
			}
		})
	}
	wg.Wait()
	if _, err := c.Connect(ctx, &taskAPI.ConnectRequest{ID: "missing"}); !errdefs.IsNotFound(errgrpc.ToNative(err)) || !strings.Contains(err.Error(), "said so") {
		t.Errorf("missing: %v", err)
	}
	if _, err := c.Connect(ctx, &taskAPI.ConnectRequest{ID: "bytes"}); err == nil || !strings.Contains(err.Error(), "file \uFFFD is missing") {
		t.Errorf("an error that is not UTF-8: %v", err)
	}
	if _, err := c.Connect(ctx, &taskAPI.ConnectRequest{ID: "odd"}); err == nil || !strings.Contains(err.Error(), "no class") {
		t.Errorf("odd: %v", err)
	}
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	if _, err := c.Connect(short, &taskAPI.ConnectRequest{ID: "wait"}); err == nil {
		t.Error("no deadline")
	}
}

// TestConnectionEndsCalls shows that a call learns that its caller has gone.
func TestConnectionEndsCalls(t *testing.T) {
	l := listen(t)
	began, ended := make(chan struct{}), make(chan struct{})
	s := &Server{Handle: func(ctx context.Context, _ *Request) ([]byte, error) {
		close(began)
		<-ctx.Done()
		close(ended)
		return nil, ctx.Err()
	}}
	go s.Serve(t.Context(), l)
	c, err := Dial(t.Context(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	go c.Call(t.Context(), Request{Service: "s", Method: "m"})
	<-began
	c.Close()
	<-ended
}

// echo is containerd's server.
type echo struct{ taskAPI.TTRPCTaskService }

func (echo) Connect(ctx context.Context, r *taskAPI.ConnectRequest) (*taskAPI.ConnectResponse, error) {
	ns, _ := namespaces.Namespace(ctx)
	if _, ok := ctx.Deadline(); !ok || ns != "k8s.io" {
		return nil, errgrpc.ToGRPC(errdefs.ErrInvalidArgument)
	}
	return &taskAPI.ConnectResponse{Version: r.ID}, nil
}

func TestCallOfContainerdsServer(t *testing.T) {
	l := listen(t)
	server, err := ttrpc.NewServer()
	if err != nil {
		t.Fatal(err)
	}
	taskAPI.RegisterTTRPCTaskService(server, echo{})
	go server.Serve(t.Context(), l)
	t.Cleanup(func() { server.Close() })
	c, err := Dial(t.Context(), l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	q := Request{Service: "containerd.task.v3.Task", Method: "Connect", Namespace: "k8s.io", Payload: pb.String(nil, 1, "x")}
	for range 3 {
		b, err := c.Call(ctx, q)
		var got string
		_ = pb.Each(b, func(f pb.Field) error { got = f.String(); return nil })
		if err != nil || got != "x" {
			t.Fatalf("%q, %v", got, err)
		}
	}
	q.Namespace = ""
	if _, err := c.Call(ctx, q); !errdefs.IsInvalidArgument(err) {
		t.Errorf("without a namespace: %v", err)
	}
	q.Method = "Nothing"
	if _, err := c.Call(ctx, q); !errdefs.IsNotImplemented(err) {
		t.Errorf("an unknown method: %v", err)
	}
}

// TestServerIsNotImpressed sends what no client would.
func TestServerIsNotImpressed(t *testing.T) {
	l := listen(t)
	s := &Server{Handle: func(context.Context, *Request) ([]byte, error) { return nil, nil }}
	go s.Serve(t.Context(), l)
	for name, b := range map[string][]byte{
		"an even stream":  frame(2, typeRequest, 0, func(b []byte) []byte { return b }),
		"a bad request":   frame(1, typeRequest, 0, func(b []byte) []byte { return append(b, 0xff) }),
		"a long message":  append([]byte{0, 64, 0, 1, 0, 0, 0, 1, typeRequest, 0}, make([]byte, 4<<20+1)...),
		"an unknown type": append(frame(1, 9, 0, func(b []byte) []byte { return b }), frame(4, typeRequest, 0, func(b []byte) []byte { return b })...),
	} {
		conn, err := net.Dial("unix", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(b); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		_, p, err := readFrame(conn)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := readResponse(p); err == nil {
			t.Errorf("%s was taken", name)
		}
		conn.Close()
	}
}
