// Package cri is the gRPC surface: the RuntimeService and ImageService of the CRI
// v1. A handler validates what the domain does not, calls it, and translates.
//
// The RPCs are grouped as the domain is: pods.go, containers.go, exec.go, stats.go,
// node.go (version, status, configuration), events.go, images.go. Each group is a
// type of its own with just what it needs; [Runtime] puts them together.
//
// Errors are classified by the domain (errdefs) and become gRPC codes in one place,
// errors.go.
package cri
