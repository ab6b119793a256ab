package shim

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/errdefs"
)

const (
	// maxSocketPath is what fits into sockaddr_un.sun_path with its closing zero.
	maxSocketPath = 107
	// infoFile and logFile are in the pod's directory.
	infoFile = "shim.json"
	logFile  = "shim.log"
	// defaultNamespace is containerd's namespace for Kubernetes.
	defaultNamespace = "k8s.io"
	// longestTemp is the longest path that go-runc makes below TMPDIR: a terminal's socket.
	longestTemp = "pty4294967295/pty.sock"
)

// SocketPaths are the paths of a pod's task and control socket. It fails with
// errdefs.ErrInvalidArgument when stateDir is too long for a unix socket address.
func SocketPaths(stateDir, podID string) (task, control string, err error) {
	if !validPodID(podID) {
		return "", "", fmt.Errorf("shim: pod ID %q is not 64 hexadecimal digits: %w", podID, errdefs.ErrInvalidArgument)
	}
	base := filepath.Join(stateDir, "s", podID[:32])
	task, control = base+".task", base+".ctl"
	longest := filepath.Join(tempDir(stateDir, podID), longestTemp)
	if n := len(longest); n > maxSocketPath {
		return "", "", fmt.Errorf("shim: socket path %s has %d bytes and the kernel takes %d: use a state directory that is at least %d bytes shorter: %w",
			longest, n, maxSocketPath, n-maxSocketPath, errdefs.ErrInvalidArgument)
	}
	return task, control, nil
}

// tempDir is a short name of PodDir, a symbolic link: among the temporary files of a shim are
// sockets for terminals, whose paths would not fit below PodDir itself.
func tempDir(stateDir, podID string) string { return filepath.Join(stateDir, "s", podID[:32]+".tmp") }

// CheckStateDir reports whether sockets of pods fit under stateDir, so that a daemon can refuse its
// configuration rather than every pod.
func CheckStateDir(stateDir string) error {
	_, _, err := SocketPaths(stateDir, strings.Repeat("0", 64))
	return err
}

// PodDir is the directory of a pod under stateDir.
func PodDir(stateDir, podID string) string { return filepath.Join(stateDir, "pods", podID) }

// Cleanup removes what a dead shim of the pod left under stateDir: sockets, link, shim.json, shim.log.
func Cleanup(stateDir, podID string) error {
	task, control, err := SocketPaths(stateDir, podID)
	if err != nil {
		return err
	}
	dir := PodDir(stateDir, podID)
	for _, p := range []string{task, control, tempDir(stateDir, podID), filepath.Join(dir, infoFile), filepath.Join(dir, logFile)} {
		if err := os.Remove(p); err != nil && !os.IsNotExist(err) {
			return fmt.Errorf("shim of pod %s: clean up: %w", podID, err)
		}
	}
	return nil
}

func validPodID(id string) bool {
	return len(id) == 64 && strings.Trim(id, "0123456789abcdef") == ""
}
