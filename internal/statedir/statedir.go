// Package statedir bounds the length of the daemon's state directory. Unix sockets are below it, and
// the address of a unix socket is short.
package statedir

import "fmt"

// MaxSocketPath is the longest path of a unix socket in bytes: sockaddr_un.sun_path without its
// closing zero, see unix(7).
const MaxSocketPath = 107

const (
	// longestOfShim is the longest socket below the state directory that the shim of a pod makes:
	// the socket of a terminal, for which go-runc makes a directory below the shim's TMPDIR.
	longestOfShim = "/s/0123456789abcdef0123456789abcdef.tmp/pty4294967295/pty.sock"
	// maxForeign is the longest directory in bytes that containerd takes for the sockets of the
	// shims that it starts (socket_dir of its plugin io.containerd.shim.v1.manager).
	maxForeign = 42
	// foreign is the place of that directory below the state directory.
	foreign = "/f"
)

// Max returns the longest state directory in bytes. The containerd inside berthd needs more room
// than an external one, which has its sockets elsewhere.
func Max(embedded bool) int {
	if embedded {
		return maxForeign - len(foreign)
	}
	return MaxSocketPath - len(longestOfShim)
}

// Problem says why dir is too long to be a state directory, and is empty when it is not.
func Problem(dir string, embedded bool) string {
	most := Max(embedded)
	if len(dir) <= most {
		return ""
	}
	return fmt.Sprintf("is too long: %d bytes, %d are possible, since the addresses of the unix sockets below it are short", len(dir), most)
}
