package trace

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/berth-run/berth/test/bench/acct"
	"github.com/berth-run/berth/test/bench/pod"
	"github.com/berth-run/berth/test/bench/side"
)

// watched are the system calls that cost, or that tell what happens.
const watched = "execve,fdatasync,fsync,syncfs,sync_file_range,mount,umount2,fsmount,move_mount,open_tree," +
	"setns,unshare,clone,clone3,vfork,fork,renameat,renameat2,rename"

// traced is how many pod cycles are counted.
const traced = 2

// syscalls traces the daemon and everything that it starts during some pod cycles. The
// trace goes into a file; the summary says how often each call was made for a pod.
func syscalls(ctx context.Context, s *side.Side, path string) (summary string, err error) {
	if _, err := exec.LookPath("strace"); err != nil {
		return "", fmt.Errorf("%w; apt-get install strace", err)
	}
	stop, err := attach(ctx, s, path)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, stop()) }()
	var times []*pod.Pod
	for range traced {
		p, err := pod.Cycle(ctx, s, pod.Spec{})
		if err != nil {
			return "", err
		}
		times = append(times, p)
	}
	time.Sleep(time.Second) // what is done afterwards belongs to it
	if err := stop(); err != nil {
		return "", err
	}
	stop = func() error { return nil }
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	last := times[len(times)-1]
	head := fmt.Sprintf("last pod, traced: start %v = %v + %v + %v, teardown %v = %v + %v + %v\n",
		last.Start.Sum(), last.Start.Run, last.Start.Create, last.Start.Start,
		last.Teardown.Sum(), last.Teardown.StopContainer, last.Teardown.StopPod, last.Teardown.Remove)
	return head + count(string(text), traced).String(), nil
}

// attach starts strace on the side's daemons and what they have started, and returns a
// function that ends it.
func attach(ctx context.Context, s *side.Side, path string) (func() error, error) {
	args := []string{"-f", "-tt", "-T", "-s", "256", "-o", path, "-e", "trace=" + watched, "-e", "signal=none"}
	for _, pid := range acct.PIDs(s.Group.Daemon()) {
		args = append(args, "-p", strconv.Itoa(pid))
	}
	cmd := exec.Command("strace", args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop := func() error {
		_ = cmd.Process.Signal(syscall.SIGINT)
		err := cmd.Wait()
		var exit *exec.ExitError
		if errors.As(err, &exit) { // it ends by the signal
			return nil
		}
		return err
	}
	select {
	case <-time.After(time.Second): // until it is attached to every thread
		return stop, nil
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), stop())
	}
}
