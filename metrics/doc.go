// Package metrics measures pods and containers and exports what it measures.
//
// # Samples
//
// A [Sampler] reads the figures of all pods and containers from cgroupfs (v1 and
// v2) and from the pods' network namespaces. It asks no shim and takes no lock of
// the domain: what there is to measure comes from a [Source], which answers from
// memory. One pass serves everybody who asks within [Options.MaxAge], so the kubelet,
// Prometheus and crictl together cost one. A cgroup that vanishes during a pass
// leaves its figures out and disturbs no other.
//
// Each resource has one reader in a file of its own (cpu.go, memory.go, io.go,
// pids.go, hugetlb.go, pressure.go, network.go). A Sample is turned into CRI
// values (cri_*.go) and Prometheus metrics (container_collector.go) from the same
// figures, hence both say the same to the digit.
//
// # The runtime's own metrics
//
// [Metrics] holds a registry of its own (nothing global, nothing in init) and the
// instruments that other packages observe: [Stages], [RPC], [CNI], [Images].
// All of their methods accept a nil receiver, so that a package can be used in a
// test without any of this. [Server] serves them over HTTP with health checks.
package metrics
