package ttrpc

import "github.com/berth-run/berth/shim/pb"

// namespaceKey is the metadata key of containerd's namespace.
const namespaceKey = "containerd-namespace-ttrpc"

// Request is one call.
type Request struct {
	// Service and Method name what is called, e.g. "containerd.task.v3.Task" and "Start".
	Service, Method string
	// Namespace is containerd's.
	Namespace string
	// Payload is the encoded argument.
	Payload []byte
	// nanos is the caller's deadline, 0 for none.
	nanos uint64
}

func (q *Request) append(b []byte) []byte {
	b = pb.String(b, 1, q.Service)
	b = pb.String(b, 2, q.Method)
	b = pb.Bytes(b, 3, q.Payload)
	b = pb.Uint(b, 4, q.nanos)
	if q.Namespace != "" {
		b = pb.Bytes(b, 5, pb.String(pb.String(nil, 1, namespaceKey), 2, q.Namespace))
	}
	return b
}

func readRequest(b []byte) (q Request, err error) {
	err = pb.Each(b, func(f pb.Field) error {
		switch f.Num {
		case 1:
			q.Service = f.String()
		case 2:
			q.Method = f.String()
		case 3:
			q.Payload = f.Bytes()
		case 4:
			q.nanos = f.Uint()
		case 5:
			return q.readMetadata(f.Bytes())
		}
		return nil
	})
	return q, err
}

func (q *Request) readMetadata(b []byte) error {
	var key, value string
	err := pb.Each(b, func(f pb.Field) error {
		switch f.Num {
		case 1:
			key = f.String()
		case 2:
			value = f.String()
		}
		return nil
	})
	if key == namespaceKey {
		q.Namespace = value
	}
	return err
}
