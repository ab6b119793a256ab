// Package underway tells which operations hang: what they do, to which pod or container, since when, and what they
// wait for. `crictl info`, the metrics and `berthd doctor` show it.
package underway

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/berth-run/berth/internal/flight"
)

// Patience is how long an operation may be under way before it is said to hang. The work of one takes a tenth of a second.
const Patience = 10 * time.Second

// Operation is an operation that hangs. Its callers may have left long ago.
type Operation struct {
	// Name is the RPC, or another word for work that no RPC asked for: "ContainerExit".
	Name string `json:"operation"`
	// Object is the pod or container, in words.
	Object string `json:"object"`
	// ID is the ID of the pod or container, empty while the object has none.
	ID string `json:"id,omitempty"`
	// Stage is the step that the operation is in, as in berth_stage_duration_seconds.
	Stage string `json:"stage,omitempty"`
	// WaitsFor says in words what the stage waits for.
	WaitsFor string `json:"waitsFor,omitempty"`
	// Since is when the operation began, and Seconds how long ago that is.
	Since   time.Time `json:"since"`
	Seconds int       `json:"seconds"`
	// Callers is how many clients wait for it now.
	Callers int `json:"callers"`
}

// String is the operation in a line.
func (o Operation) String() string {
	line := o.Name + " of " + o.Object + ", for " + (time.Duration(o.Seconds) * time.Second).String()
	if o.Stage != "" {
		line += ", in stage " + o.Stage
	}
	if o.WaitsFor != "" {
		line += ": waits for " + o.WaitsFor
	}
	return line
}

// Hanging lists the operations of the groups that have been under way for longer than [Patience], oldest first. A stop
// that gives a container its grace does not hang, nor does a command in a container. It answers from memory.
func Hanging(groups ...*flight.Group) []Operation {
	out := []Operation{}
	for _, g := range groups {
		for _, c := range g.UnderWay() {
			if age := time.Since(c.Since); age > Patience && c.Stage != "grace" && !strings.HasPrefix(c.Key, "exec/") {
				out = append(out, operation(c, age))
			}
		}
	}
	slices.SortFunc(out, func(a, b Operation) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Object, b.Object), cmp.Compare(a.Name, b.Name))
	})
	return out
}

func operation(c flight.Under, age time.Duration) Operation {
	o := Operation{
		Stage: c.Stage, WaitsFor: waits[c.Stage], Since: c.Since, Seconds: int(age / time.Second), Callers: c.Waiting,
	}
	o.Name, o.Object, _ = strings.Cut(c.What, " of ")
	for part := range strings.SplitSeq(c.Key, "/") {
		if len(part) == idLength {
			o.ID = part
		}
	}
	return o
}

// idLength is how many hexadecimal digits the ID of a pod or container has.
const idLength = 64

// waits says for the stages that wait for something outside of Berth's own memory what that is.
var waits = map[string]string{
	"waiting for a turn":                 "a turn: as many operations as may work at once are at work",
	"preparing":                          "the image's files and the paths of the mounts on the host; a network file system may not answer",
	"giving up an earlier start":         "the pod's shim, which was at work on a start for an earlier berthd",
	"giving up starts of older attempts": "the pod's shim, which was at work on a start for an earlier berthd",
	"waiting for another operation":      "another operation on the same container",
	"waiting for a start under way":      "a start of the container",
	"record":                             "containerd's database",
	"created":                            "containerd's database",
	"ready":                              "containerd's database",
	"stopped":                            "containerd's database",
	"directory":                          "the disk",
	"files":                              "the disk",
	"snapshot":                           "the snapshotter",
	"images":                             "the snapshotter",
	"volumes":                            "the disk, and the paths of the mounts on the host",
	"cgroup":                             "the cgroup's last processes, or systemd",
	"network":                            "the CNI plugins",
	"namespaces":                         "the kernel: network interfaces of the pod",
	"shim":                               "the pod's shim to start or end; see its shim.log",
	"init":                               "the pod's own process",
	"streams":                            "the FIFOs of the container",
	"create":                             "the OCI runtime, which makes the container's mounts; a volume's file system may not answer",
	"start":                              "the container's first process to execute its program",
	"task":                               "the pod's shim, which unmounts the container's root and removes its cgroup",
	"kill":                               "the container's process to end after SIGKILL: it is in uninterruptible sleep, or frozen by a cgroup above its pod",
	"containers":                         "the containers of the pod to end",
	"resources":                          "the OCI runtime, which writes the cgroup's limits",
}
