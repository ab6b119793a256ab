package taskapi

import (
	"time"

	"github.com/berth-run/berth/shim/pb"
)

// Event is a task event for containerd's exchange.
type Event struct {
	// Topic is where listeners find it, Type the message's name.
	Topic, Type string
	// Value is the encoded message.
	Value []byte
}

func event(topic, name string, value []byte) Event {
	return Event{Topic: "/tasks/" + topic, Type: "containerd.events." + name, Value: value}
}

// TaskCreate reports a created task.
func TaskCreate(r *CreateRequest, pid int) Event {
	b := pb.String(nil, 1, r.ID)
	b = pb.String(b, 2, r.Bundle)
	for _, m := range r.Rootfs {
		v := pb.String(nil, 1, m.Type)
		v = pb.String(v, 2, m.Source)
		v = pb.String(v, 3, m.Target)
		for _, o := range m.Options {
			v = pb.Bytes(v, 4, []byte(o))
		}
		b = pb.Bytes(b, 3, v)
	}
	io := pb.String(nil, 1, r.Stdin)
	io = pb.String(io, 2, r.Stdout)
	io = pb.String(io, 3, r.Stderr)
	b = pb.Bytes(b, 4, pb.Bool(io, 4, r.Terminal))
	b = pb.String(b, 5, r.Checkpoint)
	return event("create", "TaskCreate", pb.Uint(b, 6, uint64(pid)))
}

// TaskStart reports a started task.
func TaskStart(id string, pid int) Event {
	return event("start", "TaskStart", pb.Uint(pb.String(nil, 1, id), 2, uint64(pid)))
}

// TaskDelete reports a deleted task.
func TaskDelete(id string, pid int, code uint32, at time.Time) Event {
	b := pb.Uint(pb.String(nil, 1, id), 2, uint64(pid))
	return event("delete", "TaskDelete", pb.Time(pb.Uint(b, 3, uint64(code)), 4, at))
}

// TaskExit reports the end of a process: of the exec p, or with the same ID twice of the task.
func TaskExit(p Process, pid int, code uint32, at time.Time) Event {
	b := pb.String(pb.String(nil, 1, p.ID), 2, p.ExecID)
	b = pb.Uint(b, 3, uint64(pid))
	return event("exit", "TaskExit", pb.Time(pb.Uint(b, 4, uint64(code)), 5, at))
}

// TaskOOM reports that the kernel killed for want of memory.
func TaskOOM(id string) Event { return event("oom", "TaskOOM", pb.String(nil, 1, id)) }

// TaskPaused reports a paused task.
func TaskPaused(id string) Event { return event("paused", "TaskPaused", pb.String(nil, 1, id)) }

// TaskResumed reports a resumed task.
func TaskResumed(id string) Event { return event("resumed", "TaskResumed", pb.String(nil, 1, id)) }

// TaskExecAdded reports an exec that was added.
func TaskExecAdded(p Process) Event {
	return event("exec-added", "TaskExecAdded", pb.String(pb.String(nil, 1, p.ID), 2, p.ExecID))
}

// TaskExecStarted reports an exec that was started.
func TaskExecStarted(p Process, pid int) Event {
	b := pb.String(pb.String(nil, 1, p.ID), 2, p.ExecID)
	return event("exec-started", "TaskExecStarted", pb.Uint(b, 3, uint64(pid)))
}

// The method of containerd's event service that takes events, and its service.
const (
	EventsService = "containerd.services.events.ttrpc.v1.Events"
	EventsForward = "Forward"
)

// Forward encodes a ForwardRequest.
func (e Event) Forward(namespace string, at time.Time) []byte {
	b := pb.Time(nil, 1, at)
	b = pb.String(b, 2, namespace)
	b = pb.String(b, 3, e.Topic)
	b = pb.Bytes(b, 4, pb.Any{URL: e.Type, Value: e.Value}.Append(nil))
	return pb.Bytes(nil, 1, b)
}
