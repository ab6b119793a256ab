package cni

import (
	"errors"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"github.com/containernetworking/cni/pkg/types"
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
	// Verb is ADD, DEL, …; empty when the binary was only looked for.
	Verb  string
	Stage Stage
	// Age is the time from start to failure.
	Age time.Duration
	// Code is the CNI error code the plugin reported, 0 if none.
	Code uint
	Err  error
}

// Error names plugin, verb, stage and age.
func (e *PluginError) Error() string {
	if e.Stage == StageLookup {
		return fmt.Sprintf("CNI plugin %q: %v", e.Plugin, e.Err)
	}
	return fmt.Sprintf("CNI plugin %q failed %s (stage %s, age %v): %v", e.Plugin, e.Verb, e.Stage, e.Age.Round(time.Millisecond), e.Err)
}

// Unwrap gives the cause and its errdefs class.
func (e *PluginError) Unwrap() []error {
	switch e.Code {
	case types.ErrTryAgainLater, types.ErrPluginNotAvailable, types.ErrLimitedConnectivity:
		return []error{e.Err, errdefs.ErrUnavailable}
	case types.ErrInvalidNetworkConfig, types.ErrIncompatibleCNIVersion, types.ErrUnsupportedField:
		return []error{e.Err, errdefs.ErrFailedPrecondition}
	}
	if errdefs.IsDeadlineExceeded(e.Err) || errdefs.IsFailedPrecondition(e.Err) {
		return []error{e.Err}
	}
	return []error{e.Err, errdefs.ErrInternal}
}

// unknownVerb is true for the error of a plugin older than the verb (GC and STATUS of CNI 1.1).
func unknownVerb(err error) bool {
	var e *PluginError
	return errors.As(err, &e) && e.Code == types.ErrInvalidEnvironmentVariables
}
