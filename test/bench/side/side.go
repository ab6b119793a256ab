package side

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/bench/acct"
)

// Names of the sides that the benchmark brings up itself.
const (
	Berth      = "berth"
	External   = "berth-external"
	Containerd = "containerd"
)

// Side is one of the runtimes that are compared.
type Side struct {
	Name string
	// Socket is the path of the CRI socket, Dir what belongs to the side alone.
	Socket, Dir string
	// Bridge and Subnet are its network's; empty for a runtime that runs already.
	Bridge, Subnet string
	// Group accounts for its CPU time.
	Group   *acct.Group
	Runtime runtimeapi.RuntimeServiceClient
	Image   runtimeapi.ImageServiceClient
	// Binaries are the files that the daemon consists of.
	Binaries []string
	// Debug is the socket of the daemon's pprof endpoint, empty without one.
	Debug string

	conn     *grpc.ClientConn
	programs []program
	running  []*process // in the order of programs; empty while the side is down
	adopted  *adopted   // a runtime that was there before
}

// Ref is the name by which the side gets an image. A runtime that was there before knows
// of no mirror, so that the registry's own address is part of it.
func (s *Side) Ref(image string) string {
	if s.adopted == nil {
		return image
	}
	return s.adopted.registry + "/" + image
}

// program is what a side starts: a daemon and its arguments.
type program struct {
	path, log string
	args      []string
}

// Ours reports whether the benchmark starts and stops this runtime.
func (s *Side) Ours() bool { return s.adopted == nil }

// LogDir is for the logs of the side's pods.
func (s *Side) LogDir() string { return filepath.Join(s.Dir, "logs") }

// dial makes the connection all calls go over, as the kubelet has one.
func (s *Side) dial() error {
	again := backoff.Config{BaseDelay: time.Millisecond, Multiplier: 1.1, MaxDelay: 3 * time.Millisecond}
	conn, err := grpc.NewClient("unix://"+s.Socket,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: again, MinConnectTimeout: time.Second}),
		grpc.WithIdleTimeout(0),
		grpc.WithUnaryInterceptor(bounded),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(16<<20)))
	if err != nil {
		return err
	}
	s.conn = conn
	s.Runtime, s.Image = runtimeapi.NewRuntimeServiceClient(conn), runtimeapi.NewImageServiceClient(conn)
	return nil
}

// Start starts the side's daemons and returns how long it took until the CRI answered a
// list of pods, and until it said that the runtime is ready.
func (s *Side) Start(ctx context.Context) (listed, ready time.Duration, err error) {
	began := time.Now()
	for _, p := range s.programs {
		running, err := start(p, s.Group.Procs())
		if err != nil {
			return 0, 0, errors.Join(err, s.Stop())
		}
		s.running = append(s.running, running)
	}
	s.conn.ResetConnectBackoff()
	if listed, ready, err = s.await(ctx, began); err != nil {
		err = fmt.Errorf("%s: %w\n%s", s.Name, err, s.LogTail(4096))
		return 0, 0, errors.Join(err, s.Stop())
	}
	return listed, ready, nil
}

// startTimeout is how long a daemon may take to get ready, poll how often it is asked.
const (
	startTimeout = 60 * time.Second
	poll         = time.Millisecond
)

func (s *Side) await(ctx context.Context, began time.Time) (listed, ready time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	err = s.until(ctx, func() error {
		_, err := s.Runtime.ListPodSandbox(ctx, &runtimeapi.ListPodSandboxRequest{}, grpc.WaitForReady(true))
		return err
	})
	listed = time.Since(began)
	if err != nil {
		return 0, 0, err
	}
	err = s.until(ctx, func() error {
		resp, err := s.Runtime.Status(ctx, &runtimeapi.StatusRequest{})
		if err != nil {
			return err
		}
		for _, c := range resp.GetStatus().GetConditions() {
			if !c.GetStatus() && (c.GetType() == runtimeapi.RuntimeReady || c.GetType() == runtimeapi.NetworkReady) {
				return fmt.Errorf("%s: %s: %s", c.GetType(), c.GetReason(), c.GetMessage())
			}
		}
		return nil
	})
	return listed, time.Since(began), err
}

// until calls until there is no error.
func (s *Side) until(ctx context.Context, call func() error) error {
	for {
		err := call()
		if err == nil {
			return nil
		}
		for _, p := range s.running {
			if !p.alive() {
				return fmt.Errorf("%s ended at its start: %v", filepath.Base(p.path), p.cmd.ProcessState)
			}
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(poll):
		}
	}
}

// Stop ends the daemons; pods go on running.
func (s *Side) Stop() error {
	var errs []error
	for n := len(s.running) - 1; n >= 0; n-- {
		errs = append(errs, s.running[n].stop())
	}
	s.running = nil
	return errors.Join(errs...)
}

// DaemonPIDs are the daemons' processes.
func (s *Side) DaemonPIDs() []int {
	if s.adopted != nil {
		return []int{s.adopted.pid}
	}
	var pids []int
	for _, p := range s.running {
		pids = append(pids, p.cmd.Process.Pid)
	}
	return pids
}

// KeeperPIDs are the processes that keep pods besides the daemon: shims, and in the
// pods' cgroups those whose command line does not contain workload.
func (s *Side) KeeperPIDs(workload string) []int {
	daemon := map[int]bool{}
	for _, pid := range s.DaemonPIDs() {
		daemon[pid] = true
	}
	var pids []int
	for _, pid := range acct.PIDs(s.Group.Daemon()) {
		if !daemon[pid] {
			pids = append(pids, pid)
		}
	}
	return append(pids, s.podKeepers(workload)...)
}

// CPU is what the side has used so far.
func (s *Side) CPU() (time.Duration, error) { return s.Group.CPU() }

// LogTail is the end of what the daemons have logged.
func (s *Side) LogTail(bytes int) string {
	var all []byte
	for _, p := range s.programs {
		text, _ := os.ReadFile(p.log)
		all = append(all, text[max(0, len(text)-bytes):]...)
	}
	return string(all)
}

// callTimeout is far beyond everything that is measured: it ends a call of a runtime that hangs.
const callTimeout = 2 * time.Minute

func bounded(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return invoke(ctx, method, req, reply, conn, opts...)
}
