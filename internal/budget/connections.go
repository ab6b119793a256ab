package budget

import "time"

// Connections that others may open to the daemon's HTTP servers: metrics, streaming and the debug
// socket. Each server gets a share of the file descriptors that the daemon may have
// (RLIMIT_NOFILE), so that the greater part is left for the CRI socket, containers and pulls.
const (
	// WaitingShare is the part of all descriptors (one in so many) that connections of one server
	// may hold while they have sent no complete request. One more ends the oldest of them.
	WaitingShare = 32
	// MostWaiting bounds the same in absolute numbers.
	MostWaiting = 128

	// ServedShare is the part of all descriptors (one in so many) that all connections of one server
	// may hold. One more is closed at once. A streaming session needs up to seven descriptors besides its
	// connection.
	ServedShare = 16

	// ForwardedShare is the part of all descriptors (one in so many) that connections to pods' ports
	// may hold, over all port-forward sessions. One more is refused with an error that says so.
	ForwardedShare = 8

	// HeaderTimeout is how long a client may take to send the head of a request.
	HeaderTimeout = 10 * time.Second
	// HeaderBytes bounds the head of a request.
	HeaderBytes = 64 << 10
	// KeepAlive is how long a connection may wait for its next request: longer than any usual
	// interval of scrapes.
	KeepAlive = 3 * time.Minute
	// ScrapeTimeout is how long a client may take to receive an answer of the metrics server.
	ScrapeTimeout = time.Minute
)
