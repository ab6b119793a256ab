// Package faults breaks a daemon in every way that can be thought of, and looks at
// what becomes of the host.
//
// The crash matrix (TestMatrix) goes through all failpoints, which it learns from the
// daemon itself, and breaks the daemon at each: with SIGKILL, with an error, by the
// caller leaving, and by SIGKILL to an external containerd. After that lists have to be
// true, the same request again has to succeed, and removing everything has to leave a
// clean host. Other tests break what is around the daemon: plugins, shims, disks, files.
//
// By default a fixed sample runs; with BERTH_FAULTS=all (make faults) everything does.
package faults
