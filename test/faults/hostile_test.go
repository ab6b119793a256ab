package faults

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
)

// raw is a gRPC codec that lets bytes through as they are.
type raw struct{}

func (raw) Marshal(v any) ([]byte, error)      { return *v.(*[]byte), nil }
func (raw) Unmarshal(data []byte, v any) error { *v.(*[]byte) = data; return nil }
func (raw) Name() string                       { return "proto" }

// TestHostileClient sends what no client would: random bytes, random fields, huge strings,
// to every method. The daemon refuses it, goes on, and does not grow.
func TestHostileClient(t *testing.T) {
	span := 8 * time.Second
	if all() {
		span = time.Minute
	}
	d := launch(t, daemon.Options{LogLevel: "error"})
	d.CheckLeaks(t)
	pid := d.PID()
	conn, err := daemon.Dial(d.Socket)
	must(t, err)
	defer conn.Close()
	var methods []string
	for _, service := range []grpc.ServiceDesc{runtimeapi.RuntimeService_ServiceDesc, runtimeapi.ImageService_ServiceDesc} {
		for _, m := range service.Methods {
			methods = append(methods, "/"+service.ServiceName+"/"+m.MethodName)
		}
		for _, m := range service.Streams {
			methods = append(methods, "/"+service.ServiceName+"/"+m.StreamName)
		}
	}
	attack := func(span time.Duration) int64 {
		var clients sync.WaitGroup
		var calls atomic.Int64
		end := time.Now().Add(span)
		for range 8 {
			clients.Go(func() {
				for time.Now().Before(end) {
					ctx, cancel := context.WithTimeout(background(), 2*time.Second)
					in, out := nonsense(), []byte{}
					_ = conn.Invoke(ctx, methods[rand.N(len(methods))], &in, &out, grpc.ForceCodec(raw{}))
					cancel()
					calls.Add(1)
				}
			})
		}
		clients.Wait()
		return calls.Load()
	}
	attack(time.Second) // until buffers have their size
	before := usage(t, pid)
	calls := attack(span)
	must(t, removeAll(daemon.Context(t), d)) // what by accident made sense
	after := usage(t, d.PID())
	t.Logf("%d calls; %s, was %s", calls, after, before)
	if d.PID() != pid {
		t.Fatal("berthd has ended")
	}
	if after.kib > before.kib+64<<10 || after.fds > before.fds+16 {
		t.Errorf("has grown: %s, was %s", after, before)
	}
	quick(t, d)
}

// nonsense is random bytes, or a message of random fields in protobuf's encoding.
func nonsense() []byte {
	if rand.N(3) == 0 {
		b := make([]byte, rand.N(200))
		for i := range b {
			b[i] = byte(rand.Uint32())
		}
		return b
	}
	return fields(3)
}

func fields(depth int) (out []byte) {
	for range rand.N(6) {
		number := uint64(1 + rand.N(12))
		switch kind := rand.N(4); {
		case kind == 0:
			out = binary.AppendUvarint(out, number<<3)
			out = binary.AppendUvarint(out, rand.Uint64()>>rand.N(64))
		case kind == 1 && depth > 0:
			inner := fields(depth - 1)
			out = binary.AppendUvarint(out, number<<3|2)
			out = append(binary.AppendUvarint(out, uint64(len(inner))), inner...)
		default:
			text := [][]byte{nil, []byte("../../etc"), []byte("a"), make([]byte, 1<<rand.N(20)), []byte("busybox"), []byte("%s%n")}[rand.N(6)]
			out = binary.AppendUvarint(out, number<<3|2)
			out = append(binary.AppendUvarint(out, uint64(len(text))), text...)
		}
	}
	return out
}
