// Package integration tests what berthd does, seen from the CRI socket and from the
// host: each test runs with embedded and with external containerd, and fails when it
// leaves anything behind.
//
// Tests of behaviour share one daemon per mode (both); tests that restart it, or need
// a configuration of their own, start one (own).
package integration
