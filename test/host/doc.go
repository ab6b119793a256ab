// Package host takes stock of everything a container runtime can leave behind on a
// host: mounts, network interfaces, addresses, firewall rules, cgroups, processes,
// containerd's objects, files, and the daemon's own file descriptors and goroutines.
//
// A [Snapshot] before and one after show what is left over, by name. Other runtimes may
// be at work on the same host, so a [Scope] says what belongs to the one in question.
package host
