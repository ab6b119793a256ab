package metrics_test

import (
	"compress/gzip"
	"context"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
	"github.com/berth-run/berth/test/metrics"
)

// spans is an OpenTelemetry collector.
type spans struct {
	collector.UnimplementedTraceServiceServer

	mu  sync.Mutex
	all []*otlp.Span
}

// serve answers in one of OTLP's protocols, and returns the endpoint.
func (s *spans) serve(t *testing.T, protocol string) string {
	t.Helper()
	if protocol != "grpc" {
		server := httptest.NewServer(s)
		t.Cleanup(server.Close)
		return server.URL
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	collector.RegisterTraceServiceServer(server, s)
	go func() { _ = server.Serve(l) }()
	t.Cleanup(server.Stop)
	return "http://" + l.Addr().String() // which is OTLP's way to say: without TLS
}

// Export implements collector.TraceServiceServer.
func (s *spans) Export(_ context.Context, r *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	s.add(r)
	return &collector.ExportTraceServiceResponse{}, nil
}

// ServeHTTP implements http.Handler.
func (s *spans) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		body = z
	}
	raw, _ := io.ReadAll(body)
	var request collector.ExportTraceServiceRequest
	if err := proto.Unmarshal(raw, &request); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.add(&request)
}

func (s *spans) add(request *collector.ExportTraceServiceRequest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range request.ResourceSpans {
		for _, scope := range r.ScopeSpans {
			s.all = append(s.all, scope.Spans...)
		}
	}
}

// named finds a span of a trace, nil for none.
func (s *spans) named(trace, name string) *otlp.Span {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, span := range s.all {
		if hex.EncodeToString(span.TraceId) == trace && span.Name == name {
			return span
		}
	}
	return nil
}

// Spans of calls and stages continue the trace of the client, and histograms point at it.
func TestTracing(t *testing.T) {
	for _, protocol := range []string{"http/protobuf", "grpc"} {
		t.Run(protocol, func(t *testing.T) { tracing(t, protocol) })
	}
}

func tracing(t *testing.T, protocol string) {
	got := &spans{}
	d, address := endpoint(t, daemon.Options{Env: []string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=" + got.serve(t, protocol), "OTEL_EXPORTER_OTLP_PROTOCOL=" + protocol,
		"OTEL_BSP_SCHEDULE_DELAY=200",
	}})
	const trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	ctx := metadata.AppendToOutgoingContext(daemon.Context(t), "traceparent", "00-"+trace+"-"+parent+"-01")
	request := d.PodRequest(t)
	resp, err := d.Runtime.RunPodSandbox(ctx, request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		_, err := d.Runtime.StopPodSandbox(daemon.Context(t), &runtimeapi.StopPodSandboxRequest{PodSandboxId: resp.PodSandboxId})
		if err == nil {
			_, err = d.Runtime.RemovePodSandbox(daemon.Context(t), &runtimeapi.RemovePodSandboxRequest{PodSandboxId: resp.PodSandboxId})
		}
		if err != nil {
			t.Error(err)
		}
	}()
	const rpc = "runtime.v1.RuntimeService/RunPodSandbox"
	metrics.Eventually(t, 10*time.Second, "the spans", func() bool {
		return got.named(trace, rpc) != nil && got.named(trace, "RunPodSandbox network") != nil && got.named(trace, "RunPodSandbox shim") != nil
	})
	if span := got.named(trace, rpc); hex.EncodeToString(span.ParentSpanId) != parent {
		t.Errorf("the call's span is not below the client's: %v", span)
	}
	if stage := got.named(trace, "RunPodSandbox network"); string(stage.ParentSpanId) != string(got.named(trace, rpc).SpanId) {
		t.Errorf("the stage's span is not below the call's: %v", stage)
	}
	text := get(t, "http://"+address+"/metrics", "application/openmetrics-text;version=1.0.0")
	if !strings.Contains(text, `# {trace_id="`+trace+`"}`) {
		t.Error("no histogram has the trace as an exemplar")
	}
}
