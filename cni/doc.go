// Package cni gives pods their network by running CNI plugins through libcni
// (CNI specification 1.1 and everything before it).
//
// # What it promises
//
//   - The configuration directory is followed while the process runs: it may be
//     missing, created later, replaced by a symlink or a rename. Where it holds no
//     configuration at all, a built-in bridge network is used, kept in memory only.
//   - [Manager.Status] answers from memory. Plugins are asked in the background.
//   - A plugin is never killed because a caller went away. It has a deadline of its
//     own, and when that passes it is killed together with its children, and the
//     error ([PluginError]) says which plugin, which verb, at which stage and age.
//   - What is needed to undo an attachment is on disk before the first plugin runs
//     (see attachrecord.go), so [Manager.Detach] works with a configuration that changed,
//     after a failed ADD, and after a crash in the middle of one.
//   - Attachments of different pods never wait for each other. Calls about the same
//     pod are serialised, also against plugins that a killed daemon left running.
//
// # Who calls what
//
// The sandbox package calls Attach when it makes a pod, Detach when it stops one, and
// hands a DEL that fails to a [Queue]. It calls GC at start and now and then, and
// SetPodCIDR when the kubelet sends UpdateRuntimeConfig. Run has to be running.
package cni
