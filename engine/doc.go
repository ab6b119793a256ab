// Package engine owns the one containerd client that the rest of Berth works
// with, and hides where containerd runs.
//
// By default containerd is embedded: its plugins are initialised inside this
// process and the client talks to their in-memory services, so no call crosses
// a socket. The same services are also served on a unix socket, so that
// `ctr -n k8s.io` and `nerdctl -n k8s.io` see the pods. With an address
// configured, the client dials an external containerd instead.
//
// It is the only package that imports containerd's server and plugin packages,
// and the only one that knows which of the two modes is in use.
package engine
