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
)

// SocketPaths are the paths of a pod's task and control socket. It fails with
// errdefs.ErrInvalidArgument when stateDir is too long for a unix socket address.
func SocketPaths(stateDir, podID string) (task, control string, err error) {
	if !validPodID(podID) {
		return "", "", fmt.Errorf("shim: pod ID %q is not 64 hexadecimal digits: %w", podID, errdefs.ErrInvalidArgument)
	}
	base := filepath.Join(stateDir, "s", podID[:32])
	task, control = base+".task", base+".ctl"
	if n := len(task); n > maxSocketPath {
		return "", "", fmt.Errorf("shim: socket path %s has %d bytes and the kernel takes %d: use a state directory that is at least %d bytes shorter: %w",
			task, n, maxSocketPath, n-maxSocketPath, errdefs.ErrInvalidArgument)
	}
	return task, control, nil
}

// CheckStateDir reports whether sockets of pods fit under stateDir, so that a daemon can refuse its
// configuration rather than every pod.
func CheckStateDir(stateDir string) error {
	_, _, err := SocketPaths(stateDir, strings.Repeat("0", 64))
	return err
}

// PodDir is the directory of a pod under stateDir.
func PodDir(stateDir, podID string) string { return filepath.Join(stateDir, "pods", podID) }

// Cleanup removes what a dead shim of the pod left under stateDir: sockets, shim.json, shim.log.
func Cleanup(stateDir, podID string) error {
	task, control, err := SocketPaths(stateDir, podID)
	if err != nil {
		return err
	}
	dir := PodDir(stateDir, podID)
	for _, p := range []string{task, control, filepath.Join(dir, infoFile), filepath.Join(dir, logFile)} {
		if err := os.Remove(p); err != nil && !os.IsNotExist(err) {
			return fmt.Errorf("shim of pod %s: clean up: %w", podID, err)
		}
	}
	return nil
}

func validPodID(id string) bool {
	return len(id) == 64 && strings.Trim(id, "0123456789abcdef") == ""
}
