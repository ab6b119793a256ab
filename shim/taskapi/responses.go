package taskapi

import (
	"time"

	"github.com/berth-run/berth/shim/pb"
)

// Status is containerd.v1.types.Status.
type Status uint32

// The values of Status.
const (
	Unknown Status = iota
	Created
	Running
	Stopped
	Paused
	Pausing
)

// PID encodes a CreateTaskResponse or a StartResponse.
func PID(pid int) []byte { return pb.Uint(nil, 1, uint64(pid)) }

// Exit encodes a WaitResponse.
func Exit(code uint32, at time.Time) []byte {
	return pb.Time(pb.Uint(nil, 1, uint64(code)), 2, at)
}

// Deleted encodes a DeleteResponse.
func Deleted(pid int, code uint32, at time.Time) []byte {
	b := pb.Uint(nil, 1, uint64(pid))
	return pb.Time(pb.Uint(b, 2, uint64(code)), 3, at)
}

// State is StateResponse.
type State struct {
	ID, ExecID, Bundle string
	PID                int
	Status             Status
	Stdio              Stdio
	ExitCode           uint32
	ExitedAt           time.Time
}

// Encode encodes the message.
func (s State) Encode() []byte {
	b := pb.String(nil, 1, s.ID)
	b = pb.String(b, 2, s.Bundle)
	b = pb.Uint(b, 3, uint64(s.PID))
	b = pb.Uint(b, 4, uint64(s.Status))
	b = pb.String(b, 5, s.Stdio.Stdin)
	b = pb.String(b, 6, s.Stdio.Stdout)
	b = pb.String(b, 7, s.Stdio.Stderr)
	b = pb.Bool(b, 8, s.Stdio.Terminal)
	b = pb.Uint(b, 9, uint64(s.ExitCode))
	b = pb.Time(b, 10, s.ExitedAt)
	return pb.String(b, 11, s.ExecID)
}

// PIDs encodes a PidsResponse; execs has the ID of those that an exec began with.
func PIDs(pids []int, execs map[int]string) []byte {
	var b []byte
	for _, pid := range pids {
		m := pb.Uint(nil, 1, uint64(pid))
		if id := execs[pid]; id != "" {
			details := pb.Any{URL: "containerd.runc.v1.ProcessDetails", Value: pb.String(nil, 1, id)}
			m = pb.Bytes(m, 2, details.Append(nil))
		}
		b = pb.Bytes(b, 1, m)
	}
	return b
}

// Connected encodes a ConnectResponse.
func Connected(shimPID, taskPID int) []byte {
	return pb.Uint(pb.Uint(nil, 1, uint64(shimPID)), 2, uint64(taskPID))
}

// Stats encodes a StatsResponse.
func Stats(a pb.Any) []byte { return pb.Bytes(nil, 1, a.Append(nil)) }
