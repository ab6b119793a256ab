// Package streaming serves the byte streams of CRI's Exec, Attach and PortForward
// over HTTP.
//
// The RPCs only hand out URLs. A URL works once, for a minute, and holds a random
// token of 128 bits. Everything a session starts ends with the client's connection:
// see [Backend] and session.go.
//
// SPDY and the older WebSocket protocols are served by k8s.io/cri-streaming. Its server
// lacks two that crictl's and kubectl's WebSocket clients insist on, which an API server
// usually translates: "v5.channel.k8s.io" for exec and attach (v5.go), and SPDY through a
// WebSocket for port-forward (tunnel.go). Both are added here, on the same libraries.
package streaming
