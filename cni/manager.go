package cni

import (
	"context"
)

// Reasons that [Status] gives for not being ready.
const (
	ReasonConfigMissing  = "NetworkConfigMissing"
	ReasonConfigInvalid  = "NetworkConfigInvalid"
	ReasonPluginMissing  = "NetworkPluginMissing"
	ReasonStatusPending  = "NetworkStatusPending"
	ReasonPluginNotReady = "NetworkPluginNotReady"
)

// Status is the NetworkReady condition of CRI Status.
type Status struct {
	Ready bool
	// Reason is one of the Reason constants, empty when ready.
	Reason string
	// Message says what to do; when ready it names the network, and files that were skipped.
	Message string
	// NetworkName is the main network's name, and File where it comes from ("" for the built-in one).
	NetworkName, File string
	// Skipped are the files of the directory that were not usable.
	Skipped []SkippedFile
}

// SkippedFile is a configuration file that was not used, and why.
type SkippedFile struct {
	File, Reason string
}

// Manager attaches pods to networks. It is safe for concurrent use.
type Manager struct{}

// New checks the options, creates the cache directory and loads the configuration once,
// so that Status and Attach are right before Run has begun.
func New(opts Options) (*Manager, error) { panic("not built yet") }

// Run follows the configuration directory and asks the plugins for their STATUS until ctx
// is done. It returns nil then; what goes wrong meanwhile is in Status.
func (m *Manager) Run(ctx context.Context) error { panic("not built yet") }

// Status never waits.
func (m *Manager) Status() Status { panic("not built yet") }

// Attach runs ADD of every configured network. A failed ADD is undone by a DEL at once; if that
// fails as well the error wraps [ErrLeftBehind], and Detach must be retried. Cancelling ctx
// does not interrupt plugins: Attach returns when they are done.
//
// Errors: InvalidArgument (bad attachment), Unavailable (no network configured, or a plugin
// said try again later), FailedPrecondition (plugin missing, bad network configuration),
// DeadlineExceeded (a plugin took too long), otherwise Internal.
func (m *Manager) Attach(ctx context.Context, att Attachment) (*Result, error) {
	panic("not built yet")
}

// Detach runs DEL of every network the pod is or may be attached to. It is idempotent and
// needs nothing but PodID, though the more of the attachment is known the better.
func (m *Manager) Detach(ctx context.Context, att Attachment) error { panic("not built yet") }

// Check runs CHECK of the pod's networks; nil where the network's version has no CHECK.
func (m *Manager) Check(ctx context.Context, att Attachment) error { panic("not built yet") }

// GC undoes every attachment that is neither in live nor made by this process, and tells
// plugins that know the GC verb (CNI 1.1) which attachments are valid.
func (m *Manager) GC(ctx context.Context, live []Attachment) error { panic("not built yet") }

// CachedResult is the result of an earlier Attach, also by an earlier process.
// NotFound when there is none.
func (m *Manager) CachedResult(att Attachment) (*Result, error) { panic("not built yet") }

// SetPodCIDR sets the ranges of the built-in network for new pods: one CIDR or two of
// different families, comma separated, as the kubelet sends it (UpdateRuntimeConfig). ""
// goes back to the configured ones. Networks with the capability ipRanges get it, too.
// InvalidArgument for anything else. The caller keeps it across restarts.
func (m *Manager) SetPodCIDR(cidrs string) error { panic("not built yet") }

// Validate checks an attachment before any side effect: identity, ports, bandwidth.
// Errors are InvalidArgument.
func Validate(att Attachment) error { panic("not built yet") }
