package hostinfo

import (
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// x32Bit marks a system call of the x32 ABI.
const x32Bit = 0x40000000

// noX32 finds out whether the kernel is without the x32 ABI, as nearly all are. It is asked by a
// system call, which a filter of this very process might answer by killing it: with any filter the
// answer is no.
func (d *detector) noX32() bool {
	if runtime.GOARCH != "amd64" || d.proc("") != "/proc" {
		return false
	}
	for line := range strings.Lines(d.text("/proc/self/status")) {
		if v, ok := strings.CutPrefix(line, "Seccomp:"); ok && strings.TrimSpace(v) == "0" {
			_, _, errno := unix.RawSyscall(x32Bit|unix.SYS_GETPID, 0, 0, 0)
			return errno == unix.ENOSYS
		}
	}
	return false
}
