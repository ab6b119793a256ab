package podtask

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

const (
	// recordFile is in each bundle: what the task's record says.
	recordFile = "task.json"
	// recordVersion is the version of record that this build writes.
	recordVersion = 1
	rootfsDir     = "rootfs"
)

// record is what a later daemon needs to know of a task.
type record struct {
	Version int `json:"version"`
	// Socket is the unix socket of the Task API of the pod's shim.
	Socket string `json:"socket"`
}

// bundle is the directory of a task: the OCI bundle, and the record.
type bundle string

// make makes the bundle with the OCI spec, in JSON.
func (b bundle) make(r record, spec []byte) error {
	if err := os.MkdirAll(filepath.Dir(string(b)), 0o711); err != nil {
		return err
	}
	if err := os.Mkdir(string(b), 0o700); err != nil {
		if os.IsExist(err) {
			err = fmt.Errorf("%w: %w", err, errdefs.ErrAlreadyExists)
		}
		return err
	}
	err := b.fill(r, spec)
	if err != nil {
		err = errors.Join(err, b.remove())
	}
	return err
}

func (b bundle) fill(r record, spec []byte) error {
	if err := b.admit(spec); err != nil {
		return err
	}
	if err := os.Mkdir(b.rootfs(), 0o711); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(string(b), "config.json"), spec, 0o600); err != nil {
		return err
	}
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(string(b), recordFile), text, 0o600)
}

// admit lets the root of the container's user namespace, when it has one, pass through
// the bundle to the root file system.
func (b bundle) admit(spec []byte) error {
	var s struct {
		Linux struct {
			GIDMappings []specs.LinuxIDMapping `json:"gidMappings"`
		} `json:"linux"`
	}
	if err := json.Unmarshal(spec, &s); err != nil {
		return fmt.Errorf("read the OCI spec: %w", err)
	}
	for _, m := range s.Linux.GIDMappings {
		if m.ContainerID == 0 {
			return errors.Join(os.Chown(string(b), -1, int(m.HostID)), os.Chmod(string(b), 0o710))
		}
	}
	return nil
}

func (b bundle) rootfs() string { return filepath.Join(string(b), rootfsDir) }

// read returns the record. A bundle that is not complete is errdefs.ErrNotFound: it was
// being made or removed when a daemon was killed, and the shim knows nothing of it.
func (b bundle) read() (record, error) {
	var r record
	text, err := os.ReadFile(filepath.Join(string(b), recordFile))
	if os.IsNotExist(err) || err == nil && len(text) == 0 {
		return r, fmt.Errorf("bundle %s has no record: %w", b, errdefs.ErrNotFound)
	}
	if err != nil {
		return r, err
	}
	if r, err = parseRecord(text); err != nil {
		return r, fmt.Errorf("bundle %s: %w", b, err)
	}
	return r, nil
}

// parseRecord reads a record. A text that is no record is errdefs.ErrNotFound, since a daemon that was killed while it
// wrote leaves half a record; a record of a newer version is errdefs.ErrNotImplemented. Fuzzed.
func parseRecord(text []byte) (record, error) {
	var r record
	if err := json.Unmarshal(text, &r); err != nil {
		return r, fmt.Errorf("%w: %w", err, errdefs.ErrNotFound)
	}
	if r.Version > recordVersion {
		return r, fmt.Errorf("version %d, this build knows %d: %w", r.Version, recordVersion, errdefs.ErrNotImplemented)
	}
	return r, nil
}

// remove removes the bundle. What is mounted in it, because a shim died, is unmounted
// before: the files behind it are not the bundle's. The record goes before the rest, so
// that half a bundle is known for what it is.
func (b bundle) remove() error {
	err := os.Remove(b.rootfs())
	if errors.Is(err, unix.EBUSY) || errors.Is(err, unix.ENOTEMPTY) {
		if err := mount.UnmountRecursive(string(b), unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unmount what is in bundle %s: %w", b, err)
		}
		err = os.Remove(b.rootfs())
	}
	if err == nil || os.IsNotExist(err) {
		err = os.Remove(filepath.Join(string(b), recordFile))
	}
	if err == nil || os.IsNotExist(err) {
		err = os.RemoveAll(string(b))
	}
	if err != nil {
		return fmt.Errorf("remove bundle %s: %w", b, err)
	}
	return nil
}
