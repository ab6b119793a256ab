package container

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"
)

const (
	// shimSilence is how long a shim may keep the end of a process to itself before it is
	// asked whether it is there, and shimAnswer how long it has for the answer.
	shimSilence = 5 * time.Second
	shimAnswer  = 2 * time.Second
)

// kill sends SIGKILL until the container has ended. A shim that does not report the end,
// because it is stopped or hangs, is ended itself: what it has to say is known.
func (m *Manager) kill(ctx context.Context, c *Container, exited <-chan struct{}) error {
	limit := time.NewTimer(m.Config.Container.KillTimeout.Duration)
	defer limit.Stop()
	again := time.NewTicker(signalRetry)
	defer again.Stop()
	for begin := time.Now(); ; {
		m.Cgroups.Thaw(m.Cgroups.Resolve(c.CgroupsPath))
		err := m.signal(ctx, c, unix.SIGKILL)
		select {
		case <-exited:
			return nil
		case <-again.C:
			if time.Since(begin) > shimSilence && processEnded(int(c.PID())) {
				m.endSilentShim(ctx, c)
			}
		case <-limit.C:
			return m.unkillable(c, err)
		}
	}
}

// endSilentShim kills the shim of a container whose process has ended, if it does not
// answer. Its pod takes that as the end of all its containers, as if it had died.
func (m *Manager) endSilentShim(ctx context.Context, c *Container) {
	p := c.Pod.Shim()
	if p == nil {
		return
	}
	ask, cancel := context.WithTimeout(ctx, shimAnswer)
	defer cancel()
	if _, err := p.Client().Status(ask); err == nil {
		return // it is there, and writes the log down first
	}
	klog.FromContext(ctx).Error(nil, "The pod's shim does not report the end of a container and does not answer; it is killed, and with it all containers of the pod",
		"id", c.ID, "pod", c.Pod.ID, "shimPID", p.PID())
	if err := p.Kill(ctx); err != nil {
		klog.FromContext(ctx).Error(err, "Cannot kill the shim", "pod", c.Pod.ID)
	}
}

// shimPID is the parent of the container's first process, 0 when there is none.
func (c *Container) shimPID() int {
	if p := c.Pod.Shim(); p != nil {
		return p.PID()
	}
	return 0
}

// processEnded says that a process is gone, or a zombie that its parent has not seen yet.
func processEnded(pid int) bool {
	state, _ := processStat(pid)
	return state == 'Z' || state == 'X' || state == 0
}

// processStat is the state of a process and its parent, see proc(5); zeros when it is gone.
func processStat(pid int) (state byte, parent int) {
	raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0, 0
	}
	// The name in parentheses can hold anything.
	_, rest, _ := bytes.Cut(raw[max(0, bytes.LastIndexByte(raw, ')')):], []byte(" "))
	fields := bytes.Fields(rest)
	if len(fields) < 2 {
		return 0, 0
	}
	parent, _ = strconv.Atoi(string(fields[1]))
	return fields[0][0], parent
}
