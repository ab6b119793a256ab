package sandbox

import (
	"context"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"k8s.io/klog/v2"

	"github.com/berth-run/berth/cni"
)

// OwedDetach is a pod whose CNI DEL failed and is retried. The pod itself may be gone for its clients.
type OwedDetach struct {
	PodID     string `json:"podID"`
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	// Since is when a DEL failed for the first time, also in an earlier daemon.
	Since time.Time `json:"since"`
	// Plugins are those whose DEL is to be done, as NETWORK/PLUGIN.
	Plugins []string `json:"plugins"`
	// Attempts is how many failed since this daemon's start.
	Attempts  int    `json:"attempts"`
	LastError string `json:"lastError,omitempty"`
}

// OwedDetaches lists the CNI DELs that are owed, the oldest first. It reads a file for each.
func (m *Manager) OwedDetaches() []OwedDetach {
	list := []OwedDetach{}
	for _, o := range m.queue.Owed() {
		debt, _ := m.Network.Debt(o.Attachment.PodID) // without a record nothing is known of the plugins
		d := OwedDetach{
			PodID: o.Attachment.PodID, Name: o.Attachment.Name, Namespace: o.Attachment.Namespace,
			Since: o.Since, Plugins: debt.Plugins, Attempts: o.Attempts,
		}
		if o.LastError != nil {
			d.LastError = o.LastError.Error()
		}
		list = append(list, d)
	}
	return list
}

// OwesDetach reports whether a CNI DEL is owed for the pod.
func (m *Manager) OwesDetach(podID string) bool { return m.queue.Owes(podID) }

// GiveUpDetach tries a pod's CNI DEL a last time, and forgets the attachment. It returns the plugins whose DEL was not
// done; what they hold stays. NotFound when no DEL is owed for the pod.
func (m *Manager) GiveUpDetach(ctx context.Context, podID string) (cni.Debt, error) {
	if !m.queue.Owes(podID) {
		return cni.Debt{}, fmt.Errorf("no CNI DEL is owed for pod %s; berthd cni owed lists those that are: %w", podID, errdefs.ErrNotFound)
	}
	debt, err := m.Network.GiveUp(ctx, podID)
	if err != nil {
		return debt, err
	}
	m.queue.Drop(podID)
	klog.FromContext(ctx).Info("A CNI DEL was given up; what these plugins hold outside of the pod stays", "podID", podID, "plugins", debt.Plugins, "owedSince", debt.Since)
	return debt, nil
}

// giveUpOverdue is GiveUpDetach for the queue, which ends the retries itself.
func (m *Manager) giveUpOverdue(ctx context.Context, att cni.Attachment, last error) error {
	debt, err := m.Network.GiveUp(ctx, att.PodID)
	if err != nil {
		return err
	}
	klog.FromContext(ctx).Error(last, "A CNI DEL failed for longer than cni.del_give_up and was given up; what these plugins hold outside of the pod stays",
		"pod", klog.KRef(att.Namespace, att.Name), "podID", att.PodID, "plugins", debt.Plugins, "owedSince", debt.Since)
	return nil
}

// owedSince says since when the pod's DEL is owed, by the record that survives restarts.
func (m *Manager) owedSince(podID string) time.Time {
	debt, err := m.Network.Debt(podID)
	if err != nil {
		return time.Time{}
	}
	return debt.Since
}
