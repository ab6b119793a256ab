// Package side brings up the runtimes that are compared, side by side on one host and
// alike in everything that is not themselves: directories on one tmpfs, the same runc, the
// same CNI plugins and configuration but for the bridge's name and addresses, the same
// snapshotter and registry, each in a cgroup of its own.
package side
