// Package tracing sends spans of what the daemon does to an OpenTelemetry collector.
//
// It is switched on by the standard environment variables alone: OTEL_TRACES_EXPORTER=otlp, or an
// endpoint in OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT;
// OTEL_SDK_DISABLED=true and OTEL_TRACES_EXPORTER=none switch it off again. All other variables of
// the SDK and of its OTLP exporters hold (OTEL_TRACES_SAMPLER, OTEL_EXPORTER_OTLP_HEADERS,
// OTEL_BSP_*, OTEL_RESOURCE_ATTRIBUTES, OTEL_SERVICE_NAME, OTEL_PROPAGATORS …).
//
// While it is off, nothing is installed: no handler in the gRPC server, no provider, no
// goroutine. A nil *Tracing is one that is off; all methods accept it.
package tracing
