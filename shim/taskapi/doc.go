// Package taskapi holds the messages of containerd's Task API, version 3
// (github.com/containerd/containerd/api/runtime/task/v3), of the options of runc's shims, and of the
// task events, as far as a shim reads or writes them. See package pb for why they are not the
// generated ones; the tests compare both.
package taskapi

// Service is the name of the Task API on the wire.
const Service = "containerd.task.v3.Task"
