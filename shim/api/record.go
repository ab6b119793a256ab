package api

import "time"

// RecordVersion is the version of Record that this build writes.
const RecordVersion = 1

// State is where a container is in its life, as its shim sees it.
type State string

// The states of a Record.
const (
	// StateCreated: the process exists but has not been started (runc create).
	StateCreated State = "created"
	// StateRunning: the process has been started.
	StateRunning State = "running"
	// StateExited: the process has ended and its log has been drained.
	StateExited State = "exited"
)

// Record is what the shim knows about one container. It is kept in the shim, written to
// IOConfig.StatusFile at every change of State, and outlives the task in both places, so that an
// exit during a daemon's absence keeps its code, its time and its reason.
type Record struct {
	// Version is RecordVersion of the build that wrote the record.
	Version int `json:"version"`
	// ID is the container's ID.
	ID string `json:"id"`
	// PID of the container's init process in the host's PID namespace.
	PID int `json:"pid"`
	// State the container is in.
	State State `json:"state"`
	// CreatedAt, StartedAt and ExitedAt are zero until the container gets there.
	CreatedAt time.Time `json:"createdAt"`
	StartedAt time.Time `json:"startedAt,omitzero"`
	ExitedAt  time.Time `json:"exitedAt,omitzero"`
	// ExitCode is meaningful in StateExited: the exit status, or 128 plus the signal.
	ExitCode int32 `json:"exitCode"`
	// OOMKilled reports whether Kubernetes' reason OOMKilled applies (see service.oomKilled).
	OOMKilled bool `json:"oomKilled,omitempty"`
	// OOMKills counts the processes in the container's memory cgroup that the kernel killed for
	// want of memory, read when init ended.
	OOMKills uint64 `json:"oomKills,omitempty"`
	// Deleted reports whether the task has been deleted in the shim (only the record is left).
	Deleted bool `json:"deleted,omitempty"`
	// LogPath is the log file of the container, empty when it has none.
	LogPath string `json:"logPath,omitempty"`
	// LogBytes counts the bytes the container wrote, as far as they reached the log.
	LogBytes uint64 `json:"logBytes"`
	// LogDroppedBytes counts the bytes the container wrote that could not be logged.
	LogDroppedBytes uint64 `json:"logDroppedBytes,omitempty"`
	// LogError is the last error of writing the log, empty once writing works again.
	LogError string `json:"logError,omitempty"`
}
