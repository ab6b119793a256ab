package shim

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/berth-run/berth/shim/api"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"
)

// envTTRPCAddress is containerd's name for the address to publish events to.
const envTTRPCAddress = "TTRPC_ADDRESS"

// LaunchSpec says which shim to start for which pod.
type LaunchSpec struct {
	// Binary is the absolute path of berth-shim; it is also the runtime name of the pod's containers.
	Binary string
	// PodID is the sandbox's ID, 64 hexadecimal digits.
	PodID string
	// Namespace is containerd's namespace; empty means "k8s.io".
	Namespace string
	// StateDir is berthd's state directory. <StateDir>/pods/<PodID> must exist.
	StateDir string
	// ContainerdAddress is the path of containerd's gRPC socket, TTRPCAddress the path of its TTRPC
	// socket, to which task events are published. An empty TTRPCAddress publishes none.
	ContainerdAddress string
	TTRPCAddress      string
	// OOMScoreAdj is set on the shim where the kernel allows it. Children inherit it: every OCI
	// spec must therefore set process.oomScoreAdj.
	OOMScoreAdj int
	// ExtraEnv is added to the shim's environment, which is otherwise minimal: PATH, and what berth-shim needs.
	ExtraEnv []string
	// Debug makes the shim log more.
	Debug bool
}

func (s LaunchSpec) validate() error {
	for _, f := range []struct{ name, path string }{{"binary", s.Binary}, {"state directory", s.StateDir}} {
		if !filepath.IsAbs(f.path) {
			return fmt.Errorf("shim: launch: %s %q is not an absolute path: %w", f.name, f.path, errdefs.ErrInvalidArgument)
		}
	}
	return nil
}

// Launch starts the pod's shim and returns when it has been exec'd; clients may connect at once,
// they wait in the sockets' backlog. The shim outlives the caller. A shim that is alive for the
// pod already is returned instead. errdefs.ErrInvalidArgument: the spec is bad.
func Launch(ctx context.Context, spec LaunchSpec) (*Process, error) {
	if err := spec.validate(); err != nil {
		return nil, err
	}
	task, control, err := SocketPaths(spec.StateDir, spec.PodID)
	if err != nil {
		return nil, err
	}
	i := info{
		Version: infoVersion, PodID: spec.PodID, StateDir: spec.StateDir,
		Task: task, Control: control, Binary: spec.Binary,
	}
	if p, err := i.running(); err == nil || !errdefs.IsNotFound(err) {
		return p, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("shim of pod %s: launch: %w", spec.PodID, err)
	}
	// The record precedes the process: a daemon that dies in between knows where to look.
	if err := i.write(); err != nil {
		return nil, fmt.Errorf("shim of pod %s: record: %w", spec.PodID, err)
	}
	p, err := start(ctx, spec, i)
	if err != nil {
		return nil, fmt.Errorf("shim of pod %s: launch: %w", spec.PodID, err)
	}
	return p, nil
}

// running finds the pod's shim when it has one, also when its record is damaged.
func (i info) running() (*Process, error) {
	p, err := Find(PodDir(i.StateDir, i.PodID))
	if !errdefs.IsDataLoss(err) {
		return p, err
	}
	if err := i.search(); err != nil {
		return nil, err
	}
	if err := i.write(); err != nil {
		return nil, fmt.Errorf("shim of pod %s: record: %w", i.PodID, err)
	}
	return newProcess(i, nil)
}

// start makes the sockets, runs the shim with them and completes the record.
func start(ctx context.Context, spec LaunchSpec, i info) (_ *Process, err error) {
	defer func() {
		if err == nil {
			return
		}
		if cerr := Cleanup(i.StateDir, i.PodID); cerr != nil {
			klog.FromContext(ctx).Error(cerr, "Cannot clean up after a shim that did not start", "pod", i.PodID)
		}
	}()
	files, err := openFiles(i)
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	if err != nil {
		return nil, err
	}
	cmd := command(spec, files)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p, err := i.begun(cmd.Process)
	if errdefs.IsNotFound(err) {
		err = fmt.Errorf("%s ended at once, see %s: %w", spec.Binary, cmd.Stderr.(*os.File).Name(), errdefs.ErrUnavailable)
	}
	if err != nil {
		return nil, err
	}
	if err := setOOMScore(p.PID(), spec.OOMScoreAdj); err != nil {
		klog.FromContext(ctx).V(4).Info("Cannot set the OOM score of the shim", "pod", i.PodID, "err", err)
	}
	return p, nil
}

// openFiles opens what the shim inherits: the listening sockets of task and control, and its
// log. What was opened comes back also with an error.
func openFiles(i info) (files []*os.File, err error) {
	if err := os.MkdirAll(filepath.Dir(i.Task), 0o700); err != nil {
		return nil, err
	}
	for _, path := range []string{i.Task, i.Control} {
		l, err := listen(path)
		if err != nil {
			return files, err
		}
		files = append(files, l)
	}
	podDir := PodDir(i.StateDir, i.PodID)
	if err := os.Symlink(podDir, tempDir(i.StateDir, i.PodID)); err != nil && !os.IsExist(err) {
		return files, err
	}
	log, err := os.OpenFile(filepath.Join(podDir, logFile), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return files, err
	}
	return append(files, log), nil
}

// begun writes the record of a shim that runs now and follows it; one that cannot be is
// killed, since nobody would know of it.
func (i info) begun(process *os.Process) (p *Process, err error) {
	// Not exec.Cmd.Wait: that would keep the command, with its environment, for as long as the pod lives.
	reap := func() { _, _ = process.Wait() }
	i.PID = process.Pid
	if _, i.StartTime, err = procStat(i.PID); err == nil {
		err = i.write()
	}
	if err != nil {
		_ = process.Kill()
		reap()
		return nil, err
	}
	if p, err = newProcess(i, reap); err != nil {
		_ = process.Kill() // newProcess waits for its end
	}
	return p, err
}

// command is the shim's command line, as containerd's own shims take it, and its environment.
func command(spec LaunchSpec, files []*os.File) *exec.Cmd {
	listeners, log := files[:2], files[2]
	ns := spec.Namespace
	if ns == "" {
		ns = defaultNamespace
	}
	args := []string{"-namespace", ns, "-id", spec.PodID, "-address", spec.ContainerdAddress}
	if spec.Debug {
		args = append(args, "-debug")
	}
	cmd := exec.Command(spec.Binary, args...)
	cmd.Dir = PodDir(spec.StateDir, spec.PodID)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = listeners
	cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"),
		api.EnvControlFD + "=" + strconv.Itoa(api.ControlFD),
		// Temporary files, of which runc has one for each exec, go with the pod.
		"TMPDIR=" + tempDir(spec.StateDir, spec.PodID),
		// Every processor the Go runtime may use costs the shim some 250 KiB. runc inherits this.
		"GOMAXPROCS=1",
		// With a fixed number the runtime need not look at cgroups; nobody profiles memory here.
		"GODEBUG=containermaxprocs=0,updatemaxprocs=0,memprofilerate=0",
	}, spec.ExtraEnv...)
	if spec.TTRPCAddress != "" {
		cmd.Env = append(cmd.Env, envTTRPCAddress+"="+spec.TTRPCAddress)
	}
	// A session of its own: no terminal's signal reaches it, and nothing ties it to its parent.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd
}

// listen makes a listening unix socket for the shim to inherit, in place of a stale one.
func listen(path string) (*os.File, error) {
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	f := os.NewFile(uintptr(fd), path)
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		f.Close()
		return nil, fmt.Errorf("bind %s: %w", path, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		f.Close()
		return nil, err
	}
	if err := unix.Listen(fd, unix.SOMAXCONN); err != nil {
		f.Close()
		return nil, fmt.Errorf("listen %s: %w", path, err)
	}
	return f, nil
}

func setOOMScore(pid, score int) error {
	return os.WriteFile("/proc/"+strconv.Itoa(pid)+"/oom_score_adj", []byte(strconv.Itoa(score)), 0)
}
