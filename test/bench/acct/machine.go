package acct

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// tick is the unit of /proc/stat: the kernel reports it in hundredths of a second to
// user space whatever it ticks at itself.
const tick = 10 * time.Millisecond

// Machine is the CPU time that all processors were busy since boot, for processes,
// interrupts and the kernel's own threads, less what this process has used: its part of
// a call is the client's, not the runtime's. It means something on a machine that does
// nothing else.
func Machine() (time.Duration, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	busy, err := busyTicks(string(text))
	if err != nil {
		return 0, err
	}
	var self unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &self); err != nil {
		return 0, err
	}
	own := time.Duration(self.Utime.Nano() + self.Stime.Nano())
	return time.Duration(busy)*tick - own, nil
}

// busyTicks sums up the first line of /proc/stat but for idle, iowait, steal and the
// times of guests, which user time has already.
func busyTicks(stat string) (int64, error) {
	line, _, _ := strings.Cut(stat, "\n")
	fields := strings.Fields(line)
	if len(fields) < 8 || fields[0] != "cpu" {
		return 0, fmt.Errorf("/proc/stat begins with %q", line)
	}
	var sum int64
	for _, n := range []int{1, 2, 3, 6, 7} { // user, nice, system, irq, softirq
		value, err := strconv.ParseInt(fields[n], 10, 64)
		if err != nil {
			return 0, err
		}
		sum += value
	}
	return sum, nil
}
