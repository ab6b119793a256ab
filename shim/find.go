package shim

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/containerd/errdefs"
)

// Find returns the shim that was started for the pod whose directory is podDir
// (<state>/pods/<podID>), by a former daemon perhaps. errdefs.ErrNotFound: none was ever started, or
// it is dead.
func Find(podDir string) (*Process, error) {
	i, err := readInfo(podDir)
	if err != nil {
		return nil, err
	}
	if i.PID == 0 {
		// Its daemon died while starting it; the process may be there all the same.
		if err := i.search(); err != nil {
			return nil, err
		}
		if err := i.write(); err != nil {
			return nil, fmt.Errorf("shim of pod %s: record: %w", i.PodID, err)
		}
	}
	return newProcess(i, nil)
}

// search looks for the shim's process by its working directory and command line.
func (i *info) search() error {
	dirs, err := os.ReadDir("/proc")
	if err != nil {
		return fmt.Errorf("shim of pod %s: search: %w", i.PodID, err)
	}
	podDir, err := os.Stat(PodDir(i.StateDir, i.PodID))
	if err != nil {
		return fmt.Errorf("shim of pod %s: search: %w", i.PodID, err)
	}
	for _, d := range dirs {
		pid, err := strconv.Atoi(d.Name())
		if err != nil {
			continue
		}
		proc := filepath.Join("/proc", d.Name())
		cmdline, err := os.ReadFile(filepath.Join(proc, "cmdline"))
		if err != nil || !bytes.Contains(cmdline, []byte("\x00-id\x00"+i.PodID+"\x00")) {
			continue
		}
		if wd, err := os.Stat(filepath.Join(proc, "cwd")); err != nil || !os.SameFile(wd, podDir) {
			continue
		}
		if _, start, err := procStat(pid); err == nil {
			i.PID, i.StartTime = pid, start
			return nil
		}
	}
	return fmt.Errorf("shim of pod %s: no process: %w", i.PodID, errdefs.ErrNotFound)
}
