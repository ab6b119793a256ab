// Package cgroup knows where on this host the cgroups of pods and containers
// are, and does to them what no container runtime does for us: it makes and
// removes the parents of pods, applies pod-level resources, and ends what is
// left over in a cgroup.
//
// Containers' own cgroups are made by runc from the string that
// [Host.ContainerPath] gives for the OCI field linux.cgroupsPath. [Host.Resolve]
// turns the same string into directories, which is what the samplers of package
// metrics and the clean-up of leftovers work on, so both sides always agree.
//
// Three layouts exist (see [Mode]): v1 with one hierarchy a controller, v1 with
// a v2 hierarchy beside it (hybrid), and v2 alone (unified).
package cgroup
