package metrics

import (
	"context"
	"path"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// RPC observes the gRPC calls of the CRI server (berth_cri_*). A nil *RPC observes nothing.
type RPC struct {
	requests  *prometheus.CounterVec
	durations *prometheus.HistogramVec
	inFlight  *prometheus.GaugeVec
	handler   func(req any) string
}

func newRPC(reg prometheus.Registerer) *RPC {
	r := &RPC{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "berth_cri_requests_total", Help: "CRI calls that ended, by runtime handler and by the gRPC code the client got.",
		}, []string{"rpc", "handler", "code"}),
		durations: latency("berth_cri_request_duration_seconds",
			"How long CRI calls took. Streams of events last as long as their client.", callBuckets(), "rpc", "handler"),
		inFlight: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "berth_cri_requests_in_flight", Help: "CRI calls under way.",
		}, []string{"rpc"}),
	}
	reg.MustRegister(r.requests, r.durations, r.inFlight)
	return r
}

// SetHandler tells how to find the runtime handler that a request is about: the name of
// one that is configured, or "" for a request that is not about one. It must answer from
// memory, and be set before the first call.
func (r *RPC) SetHandler(find func(req any) string) { r.handler = find }

// Unary is the interceptor for ordinary calls. Install it outside of the one that
// maps errors to codes, so that it sees the code the client gets.
func (r *RPC) Unary() grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (resp any, err error) {
		defer r.begin(ctx, info.FullMethod, req)(&err)
		return next(ctx, req)
	}
}

// Stream is the interceptor for streaming calls.
func (r *RPC) Stream() grpc.StreamServerInterceptor {
	return func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
		defer r.begin(ss.Context(), info.FullMethod, nil)(&err)
		return next(srv, ss)
	}
}

// begin records the start of a call and returns what records its end. A panic that
// passes through counts as Internal, which is what the outer recovery makes of it.
func (r *RPC) begin(ctx context.Context, method string, req any) func(err *error) {
	if r == nil {
		return func(*error) {}
	}
	rpc, handler := path.Base(method), ""
	if r.handler != nil && req != nil {
		// Asked first: afterwards the object may be gone.
		handler = r.handler(req)
	}
	start := time.Now()
	r.inFlight.WithLabelValues(rpc).Inc()
	return func(err *error) {
		p := recover()
		code := status.Code(*err)
		if p != nil {
			code = codes.Internal
		}
		r.inFlight.WithLabelValues(rpc).Dec()
		r.requests.WithLabelValues(rpc, handler, code.String()).Inc()
		observe(ctx, r.durations.WithLabelValues(rpc, handler), time.Since(start))
		if p != nil {
			panic(p)
		}
	}
}
