package cni

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/containernetworking/cni/libcni"
)

// Check runs CHECK of the pod's networks; nil where the network's version has no CHECK.
// NotFound when the pod is not attached; otherwise the errors of Attach.
func (m *Manager) Check(ctx context.Context, att Attachment) (err error) {
	rec, err := m.attachedRecord(att.PodID)
	if err != nil {
		return err
	}
	release, err := m.pods.lock(ctx, att.PodID)
	if err != nil {
		return fmt.Errorf("check network of pod %s: %w", podName(att), err)
	}
	defer release()
	for _, n := range rec.data.Networks {
		list, err := n.list()
		if err != nil {
			return fmt.Errorf("check network %q of pod %s: %w: %w", n.Name, podName(att), err, errdefs.ErrInternal)
		}
		ns := att.NetNS
		if ns == "" {
			ns = rec.data.NetNS
		}
		err = m.cni.CheckNetworkList(m.run(ctx, n.Builtin, nil), list, rec.runtimeConf(n, ns))
		if err != nil && !errors.Is(err, libcni.ErrorCheckNotSupp) {
			return fmt.Errorf("check network %q of pod %s: %w", n.Name, podName(att), classify(err))
		}
	}
	return nil
}
