package side

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// dirPrefix begins the name of a run's directory, bridges and cgroup; ownerFile in the
// directory says whose it is.
const (
	dirPrefix = "bb-"
	ownerFile = "owner"
)

// sweep takes away what earlier runs left that were killed.
func sweep() error {
	dirs, err := filepath.Glob(filepath.Join(os.TempDir(), dirPrefix+"*"))
	if err != nil {
		return err
	}
	var errs []error
	for _, dir := range dirs {
		text, err := os.ReadFile(filepath.Join(dir, ownerFile))
		if err != nil {
			continue // not a run's, or one that begins this moment
		}
		who, data, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
		pid, _, _ := strings.Cut(who, " ")
		if n, err := strconv.Atoi(pid); err == nil && owner(n) == who {
			continue // it still runs
		}
		fmt.Fprintf(os.Stderr, "taking away what an earlier run left in %s\n", dir)
		errs = append(errs, discard(dir, data))
	}
	return errors.Join(errs...)
}

// owner identifies a process also when its ID is used again: "PID STARTTIME".
func owner(pid int) string {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	text := string(stat)
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	const startTime = 19 // field 22, counted from the one after the name
	if len(fields) <= startTime {
		return ""
	}
	return fmt.Sprintf("%d %s", pid, fields[startTime])
}
