package shim

import (
	"context"

	"github.com/containerd/errdefs"
)

// LaunchSpec says which shim to start for which pod.
type LaunchSpec struct {
	// Binary is the absolute path of berth-shim; it is also the runtime name of the pod's containers.
	Binary string
	// PodID is the sandbox's ID, 64 hexadecimal digits.
	PodID string
	// Namespace is containerd's namespace; empty means "k8s.io".
	Namespace string
	// StateDir is berthd's state directory. <StateDir>/pods/<PodID> must exist.
	StateDir string
	// ContainerdAddress is the path of containerd's gRPC socket, TTRPCAddress that of its TTRPC
	// socket, to which task events are published. An empty TTRPCAddress publishes none.
	ContainerdAddress string
	TTRPCAddress      string
	// OOMScoreAdj is set on the shim where the kernel allows it. Containers get their own
	// from their OCI spec.
	OOMScoreAdj int
	// ExtraEnv is added to the shim's environment, which is otherwise minimal: PATH, and what berth-shim needs.
	ExtraEnv []string
	// Debug makes the shim log more.
	Debug bool
}

// Process is a running (or ended) shim process. It is told apart from a recycled PID by its start
// time and held by a pidfd.
type Process struct{}

// Launch starts the pod's shim and returns when it has been exec'd; clients may connect at once,
// they wait in the sockets' backlog. The shim outlives the caller. A shim that is alive for the
// pod already is returned instead (errors: ErrInvalidArgument for a bad spec).
func Launch(ctx context.Context, spec LaunchSpec) (*Process, error) {
	return nil, errdefs.ErrNotImplemented
}

// Find returns the shim that was started for the pod whose directory is podDir
// (<state>/pods/<podID>), by a former daemon perhaps. errdefs.ErrNotFound: none was ever started, or
// it is dead.
func Find(podDir string) (*Process, error) { return nil, errdefs.ErrNotImplemented }

// PID of the shim.
func (p *Process) PID() int { return 0 }

// TaskEndpoint is the address for containerd.WithTaskAPIEndpoint, "ttrpc+unix://<path>".
func (p *Process) TaskEndpoint() string { return "" }

// ControlPath is the path of the control socket, for Dial.
func (p *Process) ControlPath() string { return "" }

// Client is a client of the shim's control socket.
func (p *Process) Client() *Client { return NewClient(p.ControlPath()) }

// Alive reports whether the process exists and is not a zombie.
func (p *Process) Alive() bool { return false }

// Kill sends SIGKILL and waits until the process is gone or ctx is done. A dead shim is no error.
func (p *Process) Kill(ctx context.Context) error { return errdefs.ErrNotImplemented }

// Wait returns when the process has ended (nil) or ctx is done.
func (p *Process) Wait(ctx context.Context) error { return errdefs.ErrNotImplemented }

// Stop asks the shim to shut down (see Client.Shutdown), waits for its end, and kills it when ctx
// ends first or it does not answer. Its sockets and shim.json are removed.
func (p *Process) Stop(ctx context.Context, force bool) error { return errdefs.ErrNotImplemented }

// Cleanup removes what a dead shim of the pod left under stateDir: sockets, shim.json, shim.log.
func Cleanup(stateDir, podID string) error { return errdefs.ErrNotImplemented }

// SocketPaths are the paths of a pod's task and control socket. It fails with
// errdefs.ErrInvalidArgument when stateDir is too long for a unix socket address.
func SocketPaths(stateDir, podID string) (task, control string, err error) {
	return "", "", errdefs.ErrNotImplemented
}
