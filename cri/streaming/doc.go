// Package streaming serves the byte streams of CRI's Exec, Attach and PortForward
// over HTTP (SPDY and WebSocket, by k8s.io/cri-streaming).
//
// The RPCs only hand out URLs. A URL works once, for a minute, and cannot be
// guessed: it holds a random prefix of this process and a random token.
// Everything a session starts ends with the client's connection.
package streaming
