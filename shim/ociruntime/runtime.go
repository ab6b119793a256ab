// Package ociruntime drives runc, or an OCI runtime with its command line, for one container at a
// time. What is a system call or two for a process that is the container's parent anyway is not done
// by running runc: start, delete and signals act on runc's own state where that is there in the form
// runc is known to keep it, and fall back to the command where it is not (crun, systemd's cgroups,
// hooks).
package ociruntime

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/berth-run/berth/shim/reap"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

const (
	// DefaultRoot is where containerd's runc shim keeps the runtime's state.
	DefaultRoot = "/run/containerd/runc"
	// defaultBinary is looked up in PATH when no runtime is named.
	defaultBinary = "runc"
	// pidFile is in the bundle.
	pidFile = "init.pid"
	// childrenPatience is how long the runtime may take to end after its children.
	childrenPatience = time.Second
)

// Runtime is an OCI runtime, for one container.
type Runtime struct {
	// Binary is the path or name of the program; empty means runc.
	Binary string
	// Root is the directory of its state for the container's namespace.
	Root string
	// Systemd lets systemd make the cgroups.
	Systemd bool
	// ID and Bundle are the container's.
	ID, Bundle string
	// Reaper waits for the runtime's processes.
	Reaper *reap.Reaper
}

// Streams are the standard streams of a process to be made; with a Console, a unix socket's path,
// they are a terminal that is sent there. Relative paths start in the bundle.
type Streams struct {
	In, Out, Err *os.File
	Console      string
}

// CreateOptions are what `create` takes besides the bundle.
type CreateOptions struct {
	NoPivot, NoNewKeyring bool
}

// Create creates the container, whose init then waits for Start, and returns init's PID.
func (r *Runtime) Create(ctx context.Context, o CreateOptions, s Streams) (int, error) {
	args := []string{"create", "--bundle", r.Bundle, "--pid-file", filepath.Join(r.Bundle, pidFile)}
	if s.Console != "" {
		args = append(args, "--console-socket", s.Console)
	}
	if o.NoPivot {
		args = append(args, "--no-pivot")
	}
	if o.NoNewKeyring {
		args = append(args, "--no-new-keyring")
	}
	if err := r.run(ctx, "create", append(args, r.ID), s.In, s.Out, s.Err); err != nil {
		return 0, err
	}
	return readPID(filepath.Join(r.Bundle, pidFile))
}

// Exec starts a process, an OCI process object in JSON, in the container and returns its PID. name is
// unique among the execs of the container.
func (r *Runtime) Exec(ctx context.Context, name string, process []byte, s Streams) (int, error) {
	spec, pids := filepath.Join(r.Bundle, name+".process"), filepath.Join(r.Bundle, name+".pid")
	defer os.Remove(spec)
	defer os.Remove(pids)
	if err := os.WriteFile(spec, process, 0o600); err != nil {
		return 0, err
	}
	args := []string{"exec", "--process", spec, "--detach", "--pid-file", pids}
	if s.Console != "" {
		args = append(args, "--console-socket", s.Console)
	}
	if err := r.run(ctx, "exec", append(args, r.ID), s.In, s.Out, s.Err); err != nil {
		return 0, err
	}
	return readPID(pids)
}

// Pause and Resume freeze and thaw the container's processes.
func (r *Runtime) Pause(ctx context.Context) error {
	return r.run(ctx, "pause", []string{"pause", r.ID}, nil, nil, nil)
}

// Resume is the opposite of Pause.
func (r *Runtime) Resume(ctx context.Context) error {
	return r.run(ctx, "resume", []string{"resume", r.ID}, nil, nil, nil)
}

// Update changes the container's resources; resources is OCI's LinuxResources in JSON.
func (r *Runtime) Update(ctx context.Context, resources []byte) error {
	f, err := memfd("resources", resources)
	if err != nil {
		return fmt.Errorf("hand the resources to the runtime: %w", err)
	}
	defer f.Close()
	return r.run(ctx, "update", []string{"update", "--resources", "-", r.ID}, f, nil, nil)
}

// memfd is a file with the data, open at its beginning.
func memfd(name string, data []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name)
	if _, err = f.Write(data); err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// run runs the runtime to its end; when ctx ends before, it is killed.
func (r *Runtime) run(ctx context.Context, what string, args []string, in, out, err *os.File) error {
	path, lerr := r.path()
	if lerr != nil {
		return lerr
	}
	log := filepath.Join(r.Bundle, "log.json")
	global := []string{"--root", r.Root, "--log", log, "--log-format", "json"}
	if r.Systemd {
		global = append(global, "--systemd-cgroup")
	}
	before := fileSize(log)
	pid, exited, serr := r.Reaper.Start(reap.Command{
		Path: path, Args: append(global, args...), Env: environment(), Dir: r.Bundle, Files: []*os.File{in, out, err},
	})
	if serr != nil {
		return serr
	}
	select {
	case e := <-exited:
		return failure(what, e.Code, log, before)
	case <-ctx.Done():
		r.end(pid, exited)
		return fmt.Errorf("OCI runtime %s was killed: %w", what, ctx.Err())
	}
}

// end kills the runtime, its children first: what is to become a process of the container would live on without the
// runtime, and wait for ever for what it waits for.
func (r *Runtime) end(pid int, exited <-chan reap.Exit) {
	killChildren(pid)
	select {
	case <-exited: // it tidied up
	case <-time.After(childrenPatience):
		_ = unix.Kill(pid, unix.SIGKILL)
		<-exited
	}
}

// killChildren sends SIGKILL to the children of a process. Each is held before it is seen to be a child still, so that
// nobody else is meant who got its PID.
func killChildren(pid int) {
	held := map[int]int{}
	for _, child := range childrenOf(pid) {
		if fd, err := unix.PidfdOpen(child, 0); err == nil {
			held[child] = fd
			defer unix.Close(fd)
		}
	}
	for _, child := range childrenOf(pid) {
		if fd, ok := held[child]; ok {
			_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
		}
	}
}

// childrenOf are the PIDs of a process's children; none where the kernel does not tell (CONFIG_PROC_CHILDREN).
func childrenOf(pid int) (children []int) {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		data, _ := os.ReadFile(list)
		for _, field := range strings.Fields(string(data)) {
			if child, err := strconv.Atoi(field); err == nil {
				children = append(children, child)
			}
		}
	}
	return children
}

// environment is this process's without what systemd said to it.
func environment() []string {
	env := os.Environ()
	out := env[:0]
	for _, v := range env {
		if !strings.HasPrefix(v, "NOTIFY_SOCKET=") {
			out = append(out, v)
		}
	}
	return out
}

func (r *Runtime) path() (string, error) {
	name := r.Binary
	if name == "" {
		name = defaultBinary
	}
	if filepath.IsAbs(name) {
		return name, nil
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("find the OCI runtime: %w: %w", err, errdefs.ErrNotFound)
	}
	return filepath.Abs(path)
}

// failure is what the runtime logged as its last error since offset before.
func failure(what string, code int, log string, before int64) error {
	if code == 0 {
		return nil
	}
	if text := lastError(log, before); text != "" {
		return fmt.Errorf("OCI runtime %s failed: %s", what, text)
	}
	return fmt.Errorf("OCI runtime %s failed: exit status %d", what, code)
}

func lastError(log string, offset int64) (text string) {
	f, err := os.Open(log)
	if err != nil {
		return ""
	}
	defer f.Close()
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return ""
	}
	for d := json.NewDecoder(f); ; {
		var line struct{ Level, Msg string }
		if err := d.Decode(&line); err != nil {
			return text
		}
		if line.Level == "error" {
			text = strings.TrimSpace(line.Msg)
		}
	}
}

func fileSize(path string) int64 {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return 0
	}
	return st.Size
}

func readPID(path string) (int, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("learn the PID from the OCI runtime: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || pid <= 0 {
		return 0, fmt.Errorf("the OCI runtime wrote %q as PID: %w", data, errdefs.ErrDataLoss)
	}
	return pid, nil
}
