package engine

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"
)

// Namespace is the containerd namespace that holds every Kubernetes object,
// the one that ctr and nerdctl users expect them in.
const Namespace = "k8s.io"

// Options says where containerd is and, for the embedded one, where it keeps
// its files.
type Options struct {
	// Root is the directory for persistent data of the embedded containerd.
	Root string
	// State is the directory for what a reboot destroys, on tmpfs.
	State string
	// Address is the unix socket that the embedded containerd serves, without
	// a scheme. Shims publish their events to Address + ".ttrpc".
	Address string
	// ShimSockets is the directory for sockets of shims that containerd starts
	// itself (foreign runtime handlers). At most 40 bytes or so: unix socket
	// paths end at 107 and containerd appends 64.
	ShimSockets string
	// Shim is the path of berth-shim, which cleans up after pods whose shims died.
	Shim string
	// External is the unix socket of a containerd that already runs. When set,
	// the fields above are not used.
	External string
	// ConnectTimeout bounds how long to wait for the external one, which systemd may be
	// starting at the same moment.
	ConnectTimeout time.Duration
	// Check is run for each database of the embedded containerd before it is opened;
	// empty checks nothing.
	Check CheckCommand
	// Quarantine is where damaged databases of the embedded containerd are put.
	Quarantine string
	// Debug makes the shims that containerd starts log at debug level.
	Debug bool
}

// Engine is a connected containerd.
type Engine struct {
	// Client is bound to [Namespace]; calls need no namespace on their context.
	Client *containerd.Client
	// Address is the gRPC socket that `ctr --address` takes.
	Address string
	// TTRPCAddress is the socket shims publish their events to.
	TTRPCAddress string
	// Quarantined are databases that were damaged and put aside when this daemon
	// started: what they had on record is lost.
	Quarantined []Quarantined
	// Embedded reports whether containerd runs in this process.
	Embedded bool

	close  []func() error
	health atomic.Pointer[error] // of an external containerd, by watchHealth
}

// Ready returns nil when containerd serves. It answers from memory; the embedded
// one serves as long as the process does.
func (e *Engine) Ready() error {
	if err := e.health.Load(); err != nil {
		return *err
	}
	return nil
}

// Open starts the embedded containerd or connects to the external one.
// ctx bounds the start only; the engine lives until Close.
func Open(ctx context.Context, o Options) (*Engine, error) {
	if o.External != "" {
		return openExternal(ctx, o)
	}
	return openEmbedded(ctx, o)
}

// Context returns ctx with the containerd namespace that Berth works in, for
// stores that take it from the context.
func Context(ctx context.Context) context.Context {
	return namespaces.WithNamespace(ctx, Namespace)
}

// Version asks containerd for its version, in the form "v2.4.2".
func (e *Engine) Version(ctx context.Context) (string, error) {
	if e.Embedded {
		return EmbeddedVersion(), nil
	}
	v, err := e.Client.Version(ctx)
	if err != nil {
		return "", fmt.Errorf("ask containerd at %s for its version: %w", e.Address, err)
	}
	return v.Version, nil
}

// Close disconnects, and stops the embedded containerd. Shims and what they
// run are left alone.
func (e *Engine) Close() error {
	var errs []error
	for i := len(e.close) - 1; i >= 0; i-- {
		errs = append(errs, e.close[i]())
	}
	return errors.Join(errs...)
}

// ensureNamespace creates the containerd namespace so that leases and events
// have a place before the first pod.
func (e *Engine) ensureNamespace(ctx context.Context) error {
	err := e.Client.NamespaceService().Create(Context(ctx), Namespace, nil)
	if err != nil && !isAlreadyExists(err) {
		return fmt.Errorf("create containerd namespace %s: %w", Namespace, err)
	}
	return nil
}
