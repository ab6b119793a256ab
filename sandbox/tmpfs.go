package sandbox

import (
	"context"
	"fmt"
	"os"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// ShmPath is the pod's /dev/shm, empty where it shares the host's.
func (m *Manager) ShmPath(s *Sandbox) string {
	if s.HostIPC() {
		return ""
	}
	return m.paths.PodShm(s.ID)
}

func (m *Manager) mountShm(_ context.Context, s *Sandbox) error {
	dir := m.ShmPath(s)
	if dir == "" {
		return nil
	}
	options := fmt.Sprintf("mode=1777,size=%d", m.Config.Pod.ShmSize)
	if u := s.UserNamespace(); u != nil {
		options += fmt.Sprintf(",uid=%d,gid=%d", u.GetUids()[0].GetHostId(), u.GetGids()[0].GetHostId())
	}
	if err := mountTmpfs("shm", dir, options); err != nil {
		return fmt.Errorf("mount the pod's /dev/shm: %w", err)
	}
	return nil
}

func (m *Manager) unmountShm(_ context.Context, s *Sandbox) error {
	return unmountTmpfs(m.paths.PodShm(s.ID))
}

// mountTmpfs makes dir and mounts a tmpfs on it that has neither programs nor devices.
func mountTmpfs(name, dir, options string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return unix.Mount(name, dir, "tmpfs", unix.MS_NOEXEC|unix.MS_NOSUID|unix.MS_NODEV, options)
}

// unmountTmpfs unmounts what is mounted on dir. It may be repeated.
func unmountTmpfs(dir string) error {
	if mounted, err := mountinfo.Mounted(dir); err != nil || !mounted {
		return nil // the directory is not there, or nothing is on it
	}
	if err := mount.UnmountAll(dir, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount %s: %w", dir, err)
	}
	return nil
}

// tmpfsUse is how much of a tmpfs is used, in bytes; 0 where none is mounted.
func tmpfsUse(dir string) int64 {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil || st.Type != unix.TMPFS_MAGIC {
		return 0
	}
	return int64(st.Blocks-st.Bfree) * st.Bsize
}
