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
}

func newRPC(reg prometheus.Registerer) *RPC {
	r := &RPC{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "berth_cri_requests_total", Help: "CRI calls that ended, by the gRPC code the client got.",
		}, []string{"rpc", "code"}),
		durations: latency("berth_cri_request_duration_seconds",
			"How long CRI calls took. Streams of events last as long as their client.", callBuckets(), "rpc"),
		inFlight: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "berth_cri_requests_in_flight", Help: "CRI calls under way.",
		}, []string{"rpc"}),
	}
	reg.MustRegister(r.requests, r.durations, r.inFlight)
	return r
}

// Unary is the interceptor for ordinary calls. Install it outside of the one that
// maps errors to codes, so that it sees the code the client gets.
func (r *RPC) Unary() grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (resp any, err error) {
		defer r.begin(info.FullMethod)(&err)
		return next(ctx, req)
	}
}

// Stream is the interceptor for streaming calls.
func (r *RPC) Stream() grpc.StreamServerInterceptor {
	return func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) (err error) {
		defer r.begin(info.FullMethod)(&err)
		return next(srv, ss)
	}
}

// begin records the start of a call and returns what records its end. A panic that
// passes through counts as Internal, which is what the outer recovery makes of it.
func (r *RPC) begin(method string) func(err *error) {
	if r == nil {
		return func(*error) {}
	}
	rpc := path.Base(method)
	start := time.Now()
	r.inFlight.WithLabelValues(rpc).Inc()
	return func(err *error) {
		p := recover()
		code := status.Code(*err)
		if p != nil {
			code = codes.Internal
		}
		r.inFlight.WithLabelValues(rpc).Dec()
		r.requests.WithLabelValues(rpc, code.String()).Inc()
		r.durations.WithLabelValues(rpc).Observe(time.Since(start).Seconds())
		if p != nil {
			panic(p)
		}
	}
}
