package shim

import "github.com/berth-run/berth/shim/api"

// What the shim's side has too, see package api.
type (
	IOConfig  = api.IOConfig
	Record    = api.Record
	State     = api.State
	Status    = api.Status
	Event     = api.Event
	EventType = api.EventType
)

// The values of State and EventType, and limits of IOConfig.
const (
	StateCreated = api.StateCreated
	StateRunning = api.StateRunning
	StateExited  = api.StateExited

	EventSnapshot = api.EventSnapshot
	EventSynced   = api.EventSynced
	EventCreated  = api.EventCreated
	EventStarted  = api.EventStarted
	EventExited   = api.EventExited
	EventDeleted  = api.EventDeleted

	ProtocolVersion     = api.ProtocolVersion
	RecordVersion       = api.RecordVersion
	TaskAPIVersion      = api.TaskAPIVersion
	DefaultMaxLineBytes = api.DefaultMaxLineBytes
	MinMaxLineBytes     = api.MinMaxLineBytes
	MaxMaxLineBytes     = api.MaxMaxLineBytes
)
