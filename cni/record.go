package cni

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/containernetworking/cni/libcni"
	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"
)

// recordVersion of the attachment record; another one counts as not readable.
const recordVersion = 1

// orphanPoll is how often the lock of a plugin that a killed daemon left is tried again. A blocking
// flock would hold a thread that nothing could call back.
const orphanPoll = 20 * time.Millisecond

// record is the attachment record of one pod, a file <cache>/attachments/<podID>.json. It is
// written before the first ADD and deleted after the last DEL, so whatever plugins did for a pod can
// be undone with the configuration they did it with, also when ADD failed or never returned (libcni
// keeps its cache only for an ADD that succeeded).
//
// The file is also the pod's lock. Plugins inherit it, so a pod whose plugin outlives a killed
// daemon stays locked until that plugin has ended, and DEL never runs beside its ADD.
type record struct {
	file *os.File
	// keepLocked leaves the lock to processes that still hold the file: set when a plugin had
	// to be killed, because a child of it may have escaped.
	keepLocked bool
	data       recordData
}

type recordData struct {
	Version  int
	PodID    string
	NetNS    string
	Args     [][2]string
	Caps     map[string]any
	Networks []recordNetwork
	// Owed is when a DEL failed for the first time, zero while none has.
	Owed time.Time `json:",omitzero"`
}

type recordNetwork struct {
	Name, IfName string
	Builtin      bool
	Config       json.RawMessage
	// Begun is how many plugins of the list, from its first one, have been run with ADD. Records of
	// earlier builds do not have it: then all of them may have been.
	Begun *int `json:",omitempty"`
	// Undone are the indexes of plugins whose DEL is done while the DEL of another plugin is owed.
	Undone []int `json:",omitempty"`
}

func (m *Manager) recordDir() string { return filepath.Join(m.opts.CacheDir, "attachments") }

func (m *Manager) recordPath(podID string) string {
	return filepath.Join(m.recordDir(), podID+".json")
}

// lockPod opens and locks a pod's record, and reads what is in it. What cannot be read counts as
// empty: libcni's cache and the current configuration are still there to work with.
func (m *Manager) lockPod(ctx context.Context, podID string, wait time.Duration) (*record, error) {
	release, err := m.pods.lock(ctx, podID)
	if err != nil {
		return nil, err
	}
	rec, err := m.openRecord(ctx, podID, wait)
	if err != nil {
		release()
		return nil, err
	}
	return rec, nil
}

func (m *Manager) openRecord(ctx context.Context, podID string, wait time.Duration) (*record, error) {
	for deadline := time.Now().Add(wait); ; {
		f, err := os.OpenFile(m.recordPath(podID), os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, fmt.Errorf("attachment record of pod %s: %w", podID, err)
		}
		err = flockUntil(ctx, f, deadline)
		if err == nil {
			return &record{file: f, data: readRecord(f, podID)}, nil
		}
		f.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock attachment record of pod %s: %w", podID, err)
		}
		// Whoever holds it is beyond its deadline, probably a child that a plugin left in the
		// background. A fresh file has a fresh lock.
		klog.FromContext(ctx).Info("A process that an earlier CNI plugin left still holds the pod's lock; going on without it", "podID", podID)
		m.endOrphans(ctx, podID)
		if err := m.renewRecord(podID); err != nil {
			return nil, err
		}
		deadline = time.Now().Add(wait)
	}
}

func flockUntil(ctx context.Context, f *os.File, deadline time.Time) error {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if !errors.Is(err, unix.EWOULDBLOCK) || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(orphanPoll):
		}
	}
}

// renewRecord replaces the file by a copy.
func (m *Manager) renewRecord(podID string) error {
	path := m.recordPath(podID)
	data, err := os.ReadFile(path)
	if err == nil {
		if err = os.WriteFile(path+".new", data, 0o600); err == nil {
			err = os.Rename(path+".new", path)
		}
	}
	if err != nil {
		return fmt.Errorf("renew attachment record of pod %s: %w", podID, err)
	}
	return nil
}

func readRecord(f *os.File, podID string) recordData {
	empty := recordData{Version: recordVersion, PodID: podID}
	data, err := io.ReadAll(io.LimitReader(f, 8<<20))
	if err != nil || len(data) == 0 {
		return empty
	}
	rec, err := parseRecord(data)
	if err != nil || rec.PodID != podID {
		klog.Background().Error(err, "Attachment record is not readable, so the network is undone with the current configuration", "podID", podID)
		return empty
	}
	return rec
}

func parseRecord(data []byte) (recordData, error) {
	var rec recordData
	if err := json.Unmarshal(data, &rec); err != nil {
		return rec, err
	}
	if rec.Version != recordVersion {
		return rec, fmt.Errorf("version %d of an attachment record, this program knows %d", rec.Version, recordVersion)
	}
	return rec, nil
}

// begin notes that the next plugin of a network is about to be run with ADD. What it does has to be undone
// from then on.
func (r *record) begin(network int) error {
	*r.data.Networks[network].Begun++
	return r.write()
}

// empty is true for a pod with nothing to undo on record.
func (r *record) empty() bool { return len(r.data.Networks) == 0 }

// write stores the record. It is not synced: a power loss ends the namespaces that it is about,
// and what plugins keep on disk is found by GC.
func (r *record) write() error {
	data, err := json.Marshal(r.data)
	if err != nil {
		return err
	}
	if _, err := r.file.WriteAt(data, 0); err != nil {
		return err
	}
	return r.file.Truncate(int64(len(data)))
}

// unlockPod gives the pod free; forget also deletes its record.
func (m *Manager) unlockPod(r *record, forget bool) {
	if forget {
		_ = os.Remove(r.file.Name())
	}
	if !r.keepLocked {
		_ = unix.Flock(int(r.file.Fd()), unix.LOCK_UN)
	}
	r.file.Close()
	m.pods.unlock(r.data.PodID)
}

// list parses a recorded network's configuration.
func (n recordNetwork) list() (*libcni.NetworkConfigList, error) {
	return parseConfig(n.Config, true)
}
