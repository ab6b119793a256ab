// Package podtask lets the embedded containerd reach the tasks of pods in their own
// shims, without keeping anything open for them.
//
// containerd's task manager holds a connection, three goroutines and a 32 KiB buffer for
// each task, and when a task is deleted runs the shim's binary once more to clean up. A
// pod's berth-shim needs none of that: it serves all containers of its pod at one known
// socket, and cleans up itself. So a [Runtime] stands in front of containerd's task
// manager. A task that is created with the address of a pod's shim is its own: for each
// call it connects, asks, and hangs up. All other tasks, made by foreign runtime handlers
// and by `ctr run`, belong to the task manager. The task service, and with it `ctr tasks`,
// sees both.
//
// What a later daemon needs to find a task is in its bundle, which is below
// <state>/containerd/berth.tasks on tmpfs, and is made before the shim is told of it.
package podtask
