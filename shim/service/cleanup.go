package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/berth-run/berth/shim/ociruntime"
	"github.com/berth-run/berth/shim/reap"
	"github.com/berth-run/berth/shim/rootfs"
	"github.com/berth-run/berth/shim/taskapi"
	"golang.org/x/sys/unix"
)

// killedCode is the exit code of a container that is ended because its shim died.
const killedCode = 128 + int(unix.SIGKILL)

// Cleanup ends and removes what a dead shim has left of the container whose bundle is given, and
// returns the encoded DeleteResponse. An external containerd asks for it whenever its connection to a
// shim ends, also after every container that was deleted in good order; then there is nothing left to do.
func Cleanup(ctx context.Context, namespace, id, bundle string) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(bundle, optionsFile))
	if os.IsNotExist(err) {
		return taskapi.Deleted(0, uint32(killedCode), time.Now()), nil
	}
	if err != nil {
		return nil, err
	}
	var o taskapi.Options
	if err := json.Unmarshal(data, &o); err != nil {
		return nil, fmt.Errorf("read the options of container %s: %w", id, err)
	}
	root := o.Root
	if root == "" {
		root = ociruntime.DefaultRoot
	}
	r := &ociruntime.Runtime{
		Binary: o.BinaryName, Root: filepath.Join(root, namespace), Systemd: o.SystemdCgroup,
		ID: id, Bundle: bundle, Reaper: reap.New(),
	}
	stop := reapInBackground(r.Reaper)
	defer stop()
	pid := 0
	if text, err := os.ReadFile(filepath.Join(bundle, "init.pid")); err == nil {
		pid, _ = strconv.Atoi(strings.TrimSpace(string(text)))
	}
	err = r.ForceDelete(ctx)
	err = errors.Join(err, rootfs.Unmount(filepath.Join(bundle, "rootfs")), rootfs.Clean(filepath.Join(bundle, "rootfs")))
	return taskapi.Deleted(pid, uint32(killedCode), time.Now()), err
}

// reapInBackground waits for children until stop is called.
func reapInBackground(r *reap.Reaper) (stop func()) {
	signals, done := catchSignals(), make(chan struct{})
	go func() {
		for {
			select {
			case <-signals:
				_ = r.Reap()
			case <-done:
				return
			}
		}
	}()
	return func() { close(done) }
}
