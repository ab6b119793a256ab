package main

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/berth-run/berth/config"
)

func TestAcquireKeepsOthersOut(t *testing.T) {
	dir := t.TempDir()
	p := config.Paths{Root: filepath.Join(dir, "root"), State: filepath.Join(dir, "state")}
	release, err := acquire(p)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := os.ReadFile(p.PIDFile())
	if err != nil || strings.TrimSpace(string(pid)) != strconv.Itoa(os.Getpid()) {
		t.Errorf("pid file: %q, %v", pid, err)
	}
	for _, other := range []config.Paths{p, {Root: p.Root, State: dir + "/s2"}, {Root: dir + "/r2", State: p.State}} {
		_, err := acquire(other)
		if !errors.Is(err, errdefs.ErrFailedPrecondition) {
			t.Errorf("second acquire of %+v: %v", other, err)
		}
	}
	release()
	if _, err := os.Stat(p.PIDFile()); !os.IsNotExist(err) {
		t.Errorf("pid file after release: %v", err)
	}
	again, err := acquire(p)
	if err != nil {
		t.Fatalf("acquire after release: %v", err)
	}
	again()
}
