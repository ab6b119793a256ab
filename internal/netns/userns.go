package netns

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"syscall"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/berth-run/berth/internal/placeholder"
)

// validateIDMaps refuses mappings that the kernel would refuse, with a better message.
func validateIDMaps(user *UserSpec) error {
	for _, m := range []struct {
		what string
		ids  []IDMap
	}{{"uid", user.UIDs}, {"gid", user.GIDs}} {
		if len(m.ids) == 0 {
			return fmt.Errorf("user namespace without %s mappings: %w", m.what, errdefs.ErrInvalidArgument)
		}
		for _, side := range []struct {
			name  string
			start func(IDMap) uint32
		}{
			{"container", func(m IDMap) uint32 { return m.ContainerID }},
			{"host", func(m IDMap) uint32 { return m.HostID }},
		} {
			if err := disjoint(m.ids, side.start); err != nil {
				return fmt.Errorf("%s mappings, %s side: %w: %w", m.what, side.name, err, errdefs.ErrInvalidArgument)
			}
		}
	}
	return nil
}

// disjoint checks that the ranges are not empty, end before the top and don't overlap.
func disjoint(maps []IDMap, start func(IDMap) uint32) error {
	sorted := slices.Clone(maps)
	slices.SortFunc(sorted, func(a, b IDMap) int { return cmp.Compare(start(a), start(b)) })
	var end uint64
	for _, m := range sorted {
		from := uint64(start(m))
		if m.Length == 0 {
			return fmt.Errorf("range at %d is empty", from)
		}
		if from < end {
			return fmt.Errorf("ranges overlap at %d", from)
		}
		if end = from + uint64(m.Length); end > math.MaxUint32 {
			return fmt.Errorf("range at %d with length %d is too long", from, m.Length)
		}
	}
	return nil
}

// createWithUser makes the namespaces with a child process, because only a single-threaded
// process can enter a new user namespace, and a Go process never is one. The kernel makes the user
// namespace of a clone first and lets it own the others.
//
// The child never runs: it is traced, so the kernel stops it at the exec of a program, before the
// first instruction. All that is wanted of it is its /proc/<pid>/ns. It dies with the thread that
// traces it, should the daemon be killed here.
func createWithUser(spec Spec) error {
	child, err := startStopped(spec)
	if err != nil {
		return err
	}
	defer func() {
		_ = child.Kill()
		_, _ = child.Wait()
	}()
	ns := "/proc/" + strconv.Itoa(child.Pid) + "/ns"
	// The files still belong to this thread's /proc after it has joined the namespaces.
	if err := pin(spec, ns); err != nil {
		return err
	}
	if err := join(spec); err != nil {
		return err
	}
	if err := setUp(spec); err != nil {
		return err
	}
	return applySysctlsAs(early(spec.Sysctls), rootOf(spec.User.UIDs))
}

// startStopped starts a process in the namespaces of spec that the calling thread traces, and
// that is stopped. Containers that share the host's PID namespace see it; package placeholder
// says what keeps them from it.
func startStopped(spec Spec) (*os.Process, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	program, err := placeholder.New()
	if err == nil {
		defer program.Close()
	}
	child, err := os.StartProcess(placeholder.Path(program), []string{"berth-namespaces"}, &os.ProcAttr{
		Dir:   "/",
		Files: []*os.File{null, null, null},
		Sys: &syscall.SysProcAttr{
			Cloneflags:                 uintptr(cloneFlags(spec)),
			UidMappings:                sysMaps(spec.User.UIDs),
			GidMappings:                sysMaps(spec.User.GIDs),
			GidMappingsEnableSetgroups: true,
			Ptrace:                     true,
			Pdeathsig:                  syscall.SIGKILL,
		},
	})
	if err != nil {
		return nil, exhausted(fmt.Errorf("make namespaces %v for %s: %w", spec.kinds(), spec.Dir, err))
	}
	return child, nil
}

// join moves the calling thread into the pinned namespaces, all but the user namespace: the
// daemon's root is privileged over it anyway.
func join(spec Spec) error {
	for _, kind := range spec.kinds() {
		if kind == User {
			continue
		}
		if err := enter(Path(spec.Dir, kind), nsType(kind)); err != nil {
			return err
		}
	}
	return nil
}

// enter moves the calling thread into the namespace at path.
func enter(path string, flag int) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open namespace %s: %w", path, err)
	}
	defer unix.Close(fd)
	if err := unix.Setns(fd, flag); err != nil {
		if errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("%s is no namespace of the wanted type: %w", path, errdefs.ErrNotFound)
		}
		return fmt.Errorf("enter namespace %s: %w", path, err)
	}
	return nil
}

func nsType(kind Kind) int {
	switch kind {
	case Net:
		return unix.CLONE_NEWNET
	case IPC:
		return unix.CLONE_NEWIPC
	case UTS:
		return unix.CLONE_NEWUTS
	default:
		return unix.CLONE_NEWUSER
	}
}

func sysMaps(maps []IDMap) []syscall.SysProcIDMap {
	out := make([]syscall.SysProcIDMap, 0, len(maps))
	for _, m := range maps {
		out = append(out, syscall.SysProcIDMap{ContainerID: int(m.ContainerID), HostID: int(m.HostID), Size: int(m.Length)})
	}
	return out
}

// rootOf is the host's ID of the namespace's root, or -1 when root is not mapped.
func rootOf(maps []IDMap) int {
	for _, m := range maps {
		if m.ContainerID == 0 {
			return int(m.HostID)
		}
	}
	return -1
}
