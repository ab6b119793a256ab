// Package metrics tests what Prometheus, promtool and an OpenTelemetry collector get from a real
// daemon with running pods. Directory bench has the benchmark.
package metrics
