package cgroup

// Paths are the directories of one cgroup: for v1 one for each controller
// (key "memory", "cpu", "name=systemd", ...), for v2 exactly one under the key "".
// A hybrid host has both, the v2 one without controllers. A directory need not exist.
type Paths map[string]string
