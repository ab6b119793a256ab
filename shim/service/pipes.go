package service

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// pipeBytes is the capacity asked for an output pipe: what a container can write while its log is
// busy. The memory is the kernel's and only used when there is output.
const pipeBytes = 512 << 10

// streams are the shim's ends of a container's standard streams; err is nil with a terminal, in
// without stdin.
type streams struct {
	out, err *os.File
	in       *os.File
}

func (s streams) close() {
	for _, f := range []*os.File{s.out, s.err, s.in} {
		if f != nil {
			f.Close()
		}
	}
}

// newPipes makes pipes for stdout, stderr and, if wanted, stdin. The container's ends belong to
// uid:gid, so that it can open /dev/stdout also in a user namespace.
func newPipes(stdin bool, uid, gid int) (ours streams, theirs stdio, err error) {
	defer func() {
		if err != nil {
			ours.close()
			theirs.close()
		}
	}()
	if ours.out, theirs.out, err = newPipe(true); err != nil {
		return
	}
	if ours.err, theirs.err, err = newPipe(true); err != nil {
		return
	}
	if stdin {
		if theirs.in, ours.in, err = newPipe(false); err != nil {
			return
		}
	}
	if uid == 0 && gid == 0 {
		return
	}
	for _, f := range []*os.File{theirs.in, theirs.out, theirs.err} {
		if f != nil {
			if err = f.Chown(uid, gid); err != nil {
				err = fmt.Errorf("give pipe to %d:%d: %w", uid, gid, err)
				return
			}
		}
	}
	return
}

// newPipe makes a pipe of which our end (the reading one, if weRead) does not block and the
// container's does.
func newPipe(weRead bool) (r, w *os.File, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, fmt.Errorf("make pipe: %w", err)
	}
	mine := fds[1]
	if weRead {
		mine = fds[0]
		// More than the system's limit is refused; the default then does.
		_, _ = unix.FcntlInt(uintptr(mine), unix.F_SETPIPE_SZ, pipeBytes)
	}
	if err := unix.SetNonblock(mine, true); err != nil {
		unix.Close(fds[0])
		unix.Close(fds[1])
		return nil, nil, fmt.Errorf("set up pipe: %w", err)
	}
	return os.NewFile(uintptr(fds[0]), "pipe"), os.NewFile(uintptr(fds[1]), "pipe"), nil
}
