// Package api is what berthd and berth-shim agree on: how streams are configured (IOConfig), what is
// recorded of a container (Record), the control protocol, and what the shim inherits. It is a
// package of its own so that the shim, of which there is one a pod, need not carry the client's
// dependencies. Callers in berthd find all of it in package shim.
package api
