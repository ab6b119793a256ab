// Package registry is a local OCI registry for tests: go-containerregistry's,
// on a loopback port, over HTTP or TLS, open or behind basic or token
// authentication, with counters of what was asked for and faults to order.
//
// Images are stored under their full name ("registry.k8s.io/pause:3.9" is the
// repository registry.k8s.io/pause), and WriteHosts writes the hosts.toml files
// that make a runtime look for such names here and nowhere else. A name that
// begins with the registry's own address (Host) is stored without it.
package registry
