package tracing

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
	api "go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
)

// scope names the instrumentation in each span.
const scope = "github.com/berth-run/berth"

// Tracing is what makes and sends spans.
type Tracing struct {
	provider   *trace.TracerProvider
	tracer     api.Tracer
	propagator propagation.TextMapPropagator
}

// Enabled reports whether the environment asks for spans.
func Enabled() bool {
	if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") {
		return false
	}
	if exporter := os.Getenv("OTEL_TRACES_EXPORTER"); exporter != "" {
		return exporter != "none"
	}
	return os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
}

// New begins to send spans; nil when the environment does not ask for any. A collector that is away
// is no error: spans are dropped until it is there. A variable with a value that cannot be
// honoured is errdefs.ErrInvalidArgument.
func New(ctx context.Context, version string) (*Tracing, error) {
	if !Enabled() {
		return nil, nil
	}
	exporter, err := newExporter(ctx)
	if err != nil {
		return nil, err
	}
	propagator, err := newPropagator()
	if err != nil {
		return nil, err
	}
	res, err := resource.New(ctx, resource.WithAttributes(
		attribute.String("service.name", "berthd"), attribute.String("service.version", version),
	), resource.WithHost(), resource.WithProcessPID(), resource.WithFromEnv())
	if err != nil && !errors.Is(err, resource.ErrPartialResource) {
		return nil, fmt.Errorf("describe this process for tracing: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	provider := trace.NewTracerProvider(trace.WithBatcher(exporter), trace.WithResource(res))
	// The embedded containerd takes the global one.
	otel.SetTracerProvider(provider)
	otel.SetTextMapPropagator(propagator)
	return &Tracing{provider: provider, tracer: provider.Tracer(scope), propagator: propagator}, nil
}

func newExporter(ctx context.Context) (*otlptrace.Exporter, error) {
	if name := os.Getenv("OTEL_TRACES_EXPORTER"); name != "" && name != "otlp" {
		return nil, fmt.Errorf("OTEL_TRACES_EXPORTER is %q: only otlp and none are known: %w", name, errdefs.ErrInvalidArgument)
	}
	protocol := os.Getenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
	if protocol == "" {
		protocol = os.Getenv("OTEL_EXPORTER_OTLP_PROTOCOL")
	}
	switch protocol {
	case "", "http/protobuf":
		return otlptracehttp.New(ctx)
	case "grpc":
		return otlptracegrpc.New(ctx)
	}
	return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL is %q: only grpc and http/protobuf are known: %w", protocol, errdefs.ErrInvalidArgument)
}

func newPropagator() (propagation.TextMapPropagator, error) {
	names := os.Getenv("OTEL_PROPAGATORS")
	if names == "" {
		names = "tracecontext,baggage"
	}
	var all []propagation.TextMapPropagator
	for _, name := range strings.Split(names, ",") {
		switch strings.TrimSpace(name) {
		case "tracecontext":
			all = append(all, propagation.TraceContext{})
		case "baggage":
			all = append(all, propagation.Baggage{})
		case "none":
		default:
			return nil, fmt.Errorf("OTEL_PROPAGATORS has %q: only tracecontext, baggage and none are known: %w", name, errdefs.ErrInvalidArgument)
		}
	}
	return propagation.NewCompositeTextMapPropagator(all...), nil
}

// ServerOptions make a gRPC server give each call a span, which continues its client's span.
func (t *Tracing) ServerOptions() []grpc.ServerOption {
	if t == nil {
		return nil
	}
	return []grpc.ServerOption{grpc.StatsHandler(otelgrpc.NewServerHandler(
		otelgrpc.WithTracerProvider(t.provider),
		otelgrpc.WithPropagators(t.propagator),
		otelgrpc.WithMeterProvider(noop.NewMeterProvider()),
	))}
}

// Start begins a span and returns the context that carries it, and what ends it.
func (t *Tracing) Start(ctx context.Context, name string) (context.Context, func(error)) {
	if t == nil {
		return ctx, func(error) {}
	}
	ctx, span := t.tracer.Start(ctx, name)
	return ctx, func(err error) { end(span, err) }
}

// Observe records a call that has ended, as a span that began took ago. Calls that belong to
// nothing that is traced are left out: the watches in the background would be traces of
// their own.
func (t *Tracing) Observe(ctx context.Context, name string, took time.Duration, err error) {
	if t == nil || !api.SpanContextFromContext(ctx).IsValid() {
		return
	}
	_, span := t.tracer.Start(ctx, name, api.WithTimestamp(time.Now().Add(-took)), api.WithSpanKind(api.SpanKindClient))
	end(span, err)
}

func end(span api.Span, err error) {
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
	}
	span.End()
}

// Close sends what is left until ctx ends.
func (t *Tracing) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("send the last spans: %w", err)
	}
	return nil
}
