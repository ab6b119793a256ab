package shim

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/errdefs"

	"github.com/berth-run/berth/internal/statedir"
)

const (
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
	if problem := statedir.Problem(stateDir, false); problem != "" {
		return "", "", fmt.Errorf("shim: the state directory %s %s: %w", stateDir, problem, errdefs.ErrInvalidArgument)
	}
	return base + ".task", base + ".ctl", nil
}

// tempDir is a short name of PodDir, a symbolic link: among the temporary files of a shim are
// sockets for terminals, whose paths would not fit below PodDir itself.
func tempDir(stateDir, podID string) string { return filepath.Join(stateDir, "s", podID[:32]+".tmp") }

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
