package cni

import (
	"errors"
	"time"
)

// ErrLeftBehind marks an error of Attach whose clean-up failed too.
var ErrLeftBehind = errors.New("network resources may be left behind")

// Stage says how far a plugin run had come.
type Stage string

// The stages of a plugin run.
const (
	StageLookup  Stage = "lookup"  // finding the binary
	StageStart   Stage = "start"   // fork and exec
	StageRunning Stage = "running" // until it exits
	StageOutput  Stage = "output"  // it has exited; reading and decoding what it wrote
)

// PluginError is the failure of one plugin run. errdefs classes work on it.
type PluginError struct {
	Plugin string
	Verb   string
	Stage  Stage
	// Age is the time from start to failure.
	Age time.Duration
	// Code is the CNI error code the plugin reported, 0 if none.
	Code uint
	Err  error
}

// Error names plugin, verb, stage and age.
func (e *PluginError) Error() string { return e.Plugin }
