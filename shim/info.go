package shim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/berth-run/berth/shim/api"
	"github.com/containerd/errdefs"
)

// infoVersion is the version of info that this build writes.
const infoVersion = 1

// info is shim.json, by which a later daemon finds the shim of a pod.
type info struct {
	Version int    `json:"version"`
	PodID   string `json:"podID"`
	// PID is 0 while the shim is being started.
	PID int `json:"pid"`
	// StartTime is field 22 of /proc/<pid>/stat, clock ticks since boot: with it a PID that was
	// given to another process is told apart.
	StartTime uint64 `json:"startTime"`
	StateDir  string `json:"stateDir"`
	Task      string `json:"task"`
	Control   string `json:"control"`
	Binary    string `json:"binary"`
}

func (i info) write() error {
	data, err := json.Marshal(i)
	if err != nil {
		return err
	}
	return api.WriteFileAtomic(filepath.Join(PodDir(i.StateDir, i.PodID), infoFile), append(data, '\n'), 0o600)
}

func readInfo(podDir string) (info, error) {
	path := filepath.Join(podDir, infoFile)
	data, err := os.ReadFile(path)
	if err != nil {
		if os.IsNotExist(err) {
			err = errdefs.ErrNotFound
		}
		return info{}, fmt.Errorf("shim: read %s: %w", path, err)
	}
	var i info
	if err := json.Unmarshal(data, &i); err != nil {
		return info{}, fmt.Errorf("shim: read %s: %w: %w", path, err, errdefs.ErrDataLoss)
	}
	if i.Version > infoVersion {
		return info{}, fmt.Errorf("shim: %s has version %d, this build knows %d: %w", path, i.Version, infoVersion, errdefs.ErrNotImplemented)
	}
	return i, nil
}

// procStat returns the state letter and the start time of a process, from /proc/<pid>/stat.
func procStat(pid int) (state byte, startTime uint64, err error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, 0, err
	}
	// The command may hold spaces and parentheses: fields count from the last one.
	f := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	const stateField, startField = 0, 19
	if len(f) <= startField {
		return 0, 0, fmt.Errorf("/proc/%d/stat has %d fields: %w", pid, len(f), errdefs.ErrDataLoss)
	}
	startTime, err = strconv.ParseUint(f[startField], 10, 64)
	return f[stateField][0], startTime, err
}
