package spec

import (
	"fmt"
	"github.com/containerd/errdefs"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/container/hostinfo"
)

// SELinuxLabels makes the process and mount label of a pod. Both are empty
// where SELinux is off. Options on a host without SELinux are ErrFailedPrecondition.
// The pod has to keep the labels, and ReleaseSELinuxLabel has to be called when
// the pod is removed.
func SELinuxLabels(opts *runtimeapi.SELinuxOption, host *hostinfo.Info, d Defaults) (process, mount string, err error) {
	return "", "", fmt.Errorf("making SELinux labels: %w", errdefs.ErrNotImplemented)
}

// ReserveSELinuxLabel marks the label of a pod found at start as taken.
func ReserveSELinuxLabel(label string) {}

// ReleaseSELinuxLabel gives a pod's label back; an empty one is ignored.
func ReleaseSELinuxLabel(label string) {}
