// Package ocispec turns CRI requests into OCI runtime specifications.
//
// Everything a container is made of is gathered by the caller into an [Input]:
// the pod, the container's CRI configuration, the image's configuration, the
// resolved user, facts about the host. [Build] reads it, changes nothing and
// answers an [Output]: the OCI spec plus what the caller has to do or to tell
// somebody before the spec can run (directories for image volumes, SELinux
// relabelling, values that had to be lowered).
//
// [Validate] refuses what can be refused from the request alone; it is meant
// to run before any side effect. Build repeats no such check but makes those
// that need the host (a bind source that is missing, a seccomp profile that
// cannot be read, a mount that is not shared).
//
// One concern a file: process.go (what runs), user.go, caps.go, namespaces.go,
// mounts.go and its neighbours (what is seen), devices.go, cdi.go, seccomp.go,
// apparmor.go, selinux.go, resources.go (what it may use), annotations.go
// (what a VM runtime or an NRI plugin is told).
package ocispec
