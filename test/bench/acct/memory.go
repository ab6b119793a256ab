package acct

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Use is what processes hold: memory in bytes, and open file descriptors.
type Use struct {
	PSS, RSS int64
	// Anonymous is the part of RSS that is not the page cache of a file.
	Anonymous int64
	FDs       int
	// Processes is how many there were.
	Processes int
}

// Add sums up.
func (u Use) Add(other Use) Use {
	return Use{
		PSS: u.PSS + other.PSS, RSS: u.RSS + other.RSS, Anonymous: u.Anonymous + other.Anonymous,
		FDs: u.FDs + other.FDs, Processes: u.Processes + other.Processes,
	}
}

// UseOf is what these processes hold together. Processes that have ended hold nothing.
func UseOf(pids []int) Use {
	var sum Use
	for _, pid := range pids {
		dir := filepath.Join("/proc", strconv.Itoa(pid))
		text, err := os.ReadFile(filepath.Join(dir, "smaps_rollup"))
		if err != nil {
			continue
		}
		fds, _ := os.ReadDir(filepath.Join(dir, "fd"))
		sum = sum.Add(Use{
			PSS: kilobytes(text, "Pss:"), RSS: kilobytes(text, "Rss:"), Anonymous: kilobytes(text, "Anonymous:"),
			FDs: len(fds), Processes: 1,
		})
	}
	return sum
}

// kilobytes is the value in bytes of a "Name: 123 kB" line.
func kilobytes(text []byte, name string) int64 {
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == name {
			n, _ := strconv.ParseInt(fields[1], 10, 64)
			return n << 10
		}
	}
	return 0
}

// CommandLine of a process, its arguments separated by spaces.
func CommandLine(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(strings.ReplaceAll(string(text), "\x00", " "))
}
