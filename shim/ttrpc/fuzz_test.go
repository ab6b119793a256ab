package ttrpc

import (
	"bytes"
	"strings"
	"testing"

	"github.com/berth-run/berth/shim/pb"
	"github.com/containerd/errdefs"
	"github.com/containerd/ttrpc"
	"google.golang.org/protobuf/proto"
)

// FuzzFrames reads any stream: each frame is what frame would write, and no more is read than there is.
func FuzzFrames(f *testing.F) {
	q := Request{Service: "containerd.task.v3.Task", Method: "Start", Namespace: "k8s.io", Payload: []byte("p"), nanos: 1}
	one := frame(1, typeRequest, flagRemoteClosed, q.append)
	f.Add(one)
	f.Add(append(bytes.Clone(one), frame(3, typeResponse, 0, func(b []byte) []byte { return b })...))
	f.Add(one[:headerBytes+3])
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 1, 0})
	f.Add([]byte{0, 0x40, 0, 1, 0, 0, 0, 1, 1, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		for {
			at := len(data) - r.Len()
			h, p, err := readFrame(r)
			if err != nil {
				return
			}
			again := frame(h.stream, h.kind, h.flags, func(b []byte) []byte { return append(b, p...) })
			if end := len(data) - r.Len(); !bytes.Equal(again, data[at:end]) {
				t.Fatalf("read %x as %+v, %x", data[at:end], h, p)
			}
		}
	})
}

// FuzzRequest reads any message as a request and as a response: what is none is InvalidArgument, and a request that
// was read is read by containerd's implementation too when it is written.
func FuzzRequest(f *testing.F) {
	q := Request{Service: "containerd.task.v3.Task", Method: "Start", Namespace: "k8s.io", Payload: []byte("p"), nanos: 1}
	f.Add(q.append(nil))
	f.Add((&Request{}).append(nil))
	f.Add(pb.Bytes(nil, 1, appendStatus(nil, errdefs.ErrNotFound)))
	f.Add(pb.Bytes(nil, 5, []byte{0x0a}))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = readResponse(b) // whatever the other side says may come as an error
		q, err := readRequest(b)
		if err != nil {
			if !errdefs.IsInvalidArgument(err) {
				t.Error(err)
			}
			return
		}
		written := q.append(nil)
		q.Service, q.Method, q.Namespace = text(q.Service), text(q.Method), text(q.Namespace)
		again, err := readRequest(written)
		if err != nil || again.Service != q.Service || again.Method != q.Method || again.Namespace != q.Namespace ||
			again.nanos != q.nanos || !bytes.Equal(again.Payload, q.Payload) {
			t.Fatalf("%+v, then %+v, %v", q, again, err)
		}
		var theirs ttrpc.Request
		if err := proto.Unmarshal(written, &theirs); err != nil {
			t.Fatal(err)
		}
		if theirs.Service != q.Service || theirs.Method != q.Method || !bytes.Equal(theirs.Payload, q.Payload) ||
			uint64(theirs.TimeoutNano) != q.nanos || (len(theirs.Metadata) == 0) != (q.Namespace == "") {
			t.Errorf("%+v is read as %v", q, &theirs)
		}
	})
}

// text is a string as it is written.
func text(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
