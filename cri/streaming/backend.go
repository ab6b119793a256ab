package streaming

import (
	"context"
	"io"

	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
)

// TerminalSize is a terminal's width and height in characters.
type TerminalSize = remotecommand.TerminalSize

// IO holds the client's side of one exec or attach session.
type IO struct {
	// Stdin is what the client sends, nil when it did not ask for stdin. A read ends
	// with io.EOF when the client closed its end, or with the connection.
	Stdin io.Reader
	// Stdout and Stderr go to the client; nil when not asked for. Stderr is nil with a TTY.
	Stdout, Stderr io.WriteCloser
	// TTY reports whether the session has a terminal.
	TTY bool
	// Resize gives the terminal's sizes and is closed with the session; nil means never.
	Resize <-chan TerminalSize
}

// Backend runs the sessions; the domain implements it. The context of each call
// ends when the client's connection does, whether it says goodbye or vanishes;
// the call must then return soon and leave nothing running.
type Backend interface {
	// Exec runs cmd in a running container until it exits and all of its output is
	// written, and returns its exit code. An error means that it did not run or that
	// its exit is not known.
	Exec(ctx context.Context, containerID string, cmd []string, streams IO) (exitCode uint32, err error)
	// Attach connects to the container's first process until that exits (nil) or ctx ends.
	Attach(ctx context.Context, containerID string, streams IO) error
	// PodNetwork tells where the pod's ports are. It must fail with errdefs.ErrNotFound
	// or errdefs.ErrFailedPrecondition for a pod that is gone or not ready.
	PodNetwork(ctx context.Context, podID string) (PodNetwork, error)
}

// PodNetwork is the network namespace of a pod.
type PodNetwork struct {
	// NetnsPath is the pinned network namespace. Ignored when Host is set.
	NetnsPath string
	// Host reports whether the pod lives in the host's network.
	Host bool
}
