package api

// ProtocolVersion is the version of the control protocol this build speaks. A shim answers every
// request with its own version; operations it does not know get errdefs.ErrNotImplemented, so a
// daemon can use an older shim for what that shim can do.
const ProtocolVersion = 1

// Status is the answer to Client.Status.
type Status struct {
	// PID of the shim process.
	PID int `json:"pid"`
	// PodID is the sandbox the shim serves.
	PodID string `json:"podID"`
	// Protocol is the shim's ProtocolVersion, Build the version of its binary.
	Protocol int    `json:"protocol"`
	Build    string `json:"build"`
	// Goroutines counts the shim's goroutines, so that a leak can be seen.
	Goroutines int `json:"goroutines,omitempty"`
	// Containers holds one record for every container the shim has had and nobody has forgotten.
	Containers []Record `json:"containers"`
}

// EventType says what an Event reports.
type EventType string

// The types of events a watcher gets.
const (
	// EventSnapshot reports the present state of a container; one for each comes first.
	EventSnapshot EventType = "snapshot"
	// EventSynced ends the snapshot.
	EventSynced EventType = "synced"
	// EventCreated, EventStarted, EventExited and EventDeleted report a change of a task.
	EventCreated EventType = "created"
	EventStarted EventType = "started"
	EventExited  EventType = "exited"
	EventDeleted EventType = "deleted"
)

// Event is one element of a watch. Events of a watch come in order and none is left out: a watcher
// too slow to take them is cut off, and finds every exit in the snapshot of its next watch.
type Event struct {
	Type   EventType `json:"type"`
	Record Record    `json:"record,omitzero"`
}
