package cni

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"
)

// endOrphans kills the plugins that a killed daemon left at work for a pod and that are
// beyond their deadline. What a plugin itself has left in the background, a DHCP client
// for instance, is not a plugin any more if it runs another program.
func (m *Manager) endOrphans(ctx context.Context, podID string) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() || !m.isPluginFor(pid, podID) {
			continue
		}
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue
		}
		if m.isPluginFor(pid, podID) {
			klog.FromContext(ctx).Info("Killing a CNI plugin that a former daemon left and that does not end", "podID", podID, "pid", pid)
			_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) // it has ended
		}
		unix.Close(fd)
	}
}

// isPluginFor reports whether a process is a plugin that a daemon of this host started for the
// pod: by its environment and its command line, which is the path of a plugin.
func (m *Manager) isPluginFor(pid int, podID string) bool {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	environ, err := os.ReadFile(filepath.Join(dir, "environ"))
	if err != nil || !slices.ContainsFunc(bytes.Split(environ, []byte{0}), func(v []byte) bool {
		return string(v) == "CNI_CONTAINERID="+podID
	}) {
		return false
	}
	cmdline, err := os.ReadFile(filepath.Join(dir, "cmdline"))
	if err != nil {
		return false
	}
	program, _, _ := bytes.Cut(cmdline, []byte{0})
	return slices.Contains(m.opts.BinDirs, filepath.Dir(string(program)))
}
