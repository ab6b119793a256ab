package cni

import (
	"fmt"
	"os"

	"github.com/containerd/errdefs"
)

// CachedResult is the result of an earlier Attach, also by an earlier process.
// NotFound when there is none, or not a complete one.
func (m *Manager) CachedResult(att Attachment) (*Result, error) {
	rec, err := m.attachedRecord(att.PodID)
	if err != nil {
		return nil, err
	}
	result := &Result{}
	for _, n := range rec.data.Networks {
		list, err := n.list()
		if err != nil {
			return nil, notAttached(att.PodID, err)
		}
		cached, err := m.cni.GetNetworkListCachedResult(list, rec.runtimeConf(n, rec.data.NetNS))
		if err != nil || cached == nil {
			return nil, notAttached(att.PodID, err)
		}
		if err := result.add(n.Name, n.IfName, cached, m.opts.IPPreference); err != nil {
			return nil, notAttached(att.PodID, err)
		}
	}
	return result, nil
}

// attachedRecord reads a record without locking the pod.
func (m *Manager) attachedRecord(podID string) (*record, error) {
	if err := validateID(podID); err != nil {
		return nil, err
	}
	data, err := os.ReadFile(m.recordPath(podID))
	if err != nil {
		return nil, notAttached(podID, nil)
	}
	rec, err := parseRecord(data)
	if err != nil || len(rec.Networks) == 0 {
		return nil, notAttached(podID, err)
	}
	return &record{data: rec}, nil
}

func notAttached(podID string, cause error) error {
	if cause != nil {
		return fmt.Errorf("pod %s has no complete network attachment: %w: %w", podID, cause, errdefs.ErrNotFound)
	}
	return fmt.Errorf("pod %s has no complete network attachment: %w", podID, errdefs.ErrNotFound)
}
