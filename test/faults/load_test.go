package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
	"github.com/berth-run/berth/test/host"
)

const (
	loadClients = 64
	// listBound is for the 99th percentile of List calls under load. It is a timing, and the
	// clients share the processors: what it was is reported, not judged.
	listBound = 50 * time.Millisecond
)

// TestLoad lets many clients do whatever they like, with faults at random: no call hangs,
// lists answer all the while, and nothing is left.
func TestLoad(t *testing.T) {
	span := 15 * time.Second
	if all() {
		span = 3 * time.Minute
	}
	either(t, func(t *testing.T, d *daemon.Daemon) {
		if p99 := load(t, d, span); p99 > listBound {
			t.Logf("p99 of lists is %s, should be below %s", p99, listBound)
		}
	})
}

// load has clients at work for a while and expects a clean host afterwards. It returns
// the 99th percentile of how long lists took.
func load(t *testing.T, d *daemon.Daemon, span time.Duration) time.Duration {
	t.Helper()
	before, err := d.StockOf(t.Context())
	must(t, err)
	points, err := daemon.Failpoints()
	must(t, err)
	points = slices.DeleteFunc(points, func(p string) bool { return strings.HasPrefix(p, "Recover") })
	ctx, cancel := context.WithTimeout(background(), span)
	defer cancel()
	var clients, others sync.WaitGroup
	var calls, failures atomic.Int64
	for n := range loadClients {
		clients.Go(func() { client(ctx, t, d, n, &calls, &failures) })
	}
	others.Go(func() { armAtRandom(ctx, t, d, points) })
	took := lists(ctx, t, d)
	clients.Wait()
	others.Wait()
	must(t, d.Disarm(background()))
	slices.Sort(took)
	p99 := took[len(took)*99/100]
	t.Logf("%d calls, %d failed; %d lists, p50 %s, p99 %s, longest %s", calls.Load(), failures.Load(),
		len(took), took[len(took)/2], p99, took[len(took)-1])
	end, stop := context.WithTimeout(background(), 3*time.Minute)
	defer stop()
	if err := clearHost(end, d, before); err != nil {
		t.Error(err)
	}
	healthy(t, d)
	return p99
}

// clearHost removes all pods and waits until nothing is left of them. A call whose client has given up goes on,
// and can bring one more meanwhile.
func clearHost(ctx context.Context, d *daemon.Daemon, before host.Snapshot) error {
	for try := 0; ; try++ {
		err := removeAll(ctx, d)
		if err == nil {
			err = errors.Join(os.RemoveAll(filepath.Join(d.Dir, "logs")), d.Clean(ctx, before))
			pods, lerr := d.Runtime.ListPodSandbox(ctx, &runtimeapi.ListPodSandboxRequest{})
			if err == nil || lerr != nil || len(pods.GetItems()) == 0 {
				return errors.Join(err, lerr)
			}
		}
		if try > 5 || ctx.Err() != nil {
			return err
		}
	}
}

// lists calls ListContainers and ListPodSandbox again and again, and returns how long each took.
func lists(ctx context.Context, t *testing.T, d *daemon.Daemon) []time.Duration {
	var took []time.Duration
	for ctx.Err() == nil {
		begin := time.Now()
		_, err := d.Runtime.ListContainers(background(), &runtimeapi.ListContainersRequest{})
		if err == nil {
			_, err = d.Runtime.ListPodSandbox(background(), &runtimeapi.ListPodSandboxRequest{})
		}
		if err != nil {
			t.Errorf("list: %v", err)
		}
		took = append(took, time.Since(begin)/2)
		time.Sleep(5 * time.Millisecond)
	}
	return took
}

func armAtRandom(ctx context.Context, t *testing.T, d *daemon.Daemon, points []string) {
	for ctx.Err() == nil {
		action := "error"
		if rand.N(3) == 0 {
			action = "delay(300ms)"
		}
		if err := d.Arm(ctx, points[rand.N(len(points))], action); err != nil && ctx.Err() == nil {
			t.Errorf("arm: %v", err)
			return
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// client goes through the life of pods, with deadlines that are too short at times.
func client(ctx context.Context, t *testing.T, d *daemon.Daemon, n int, calls, failures *atomic.Int64) {
	for round := 0; ctx.Err() == nil; round++ {
		w := newWorld(d, nil, fmt.Sprintf("load-%d-%d", n, round))
		w.pod.Config.PortMappings = nil
		if rand.N(2) == 0 {
			w.pod.Config.Linux.SecurityContext.NamespaceOptions.Pid = runtimeapi.NamespaceMode_CONTAINER
			w.container.Config.Linux.SecurityContext.NamespaceOptions.Pid = runtimeapi.NamespaceMode_CONTAINER
		}
		for _, call := range []func(context.Context) error{
			w.run, w.create, w.start, w.exec, w.exec, w.stop, w.remove, w.stopPod, w.removePod,
		} {
			if ctx.Err() != nil {
				return
			}
			if rand.N(10) == 0 {
				continue // a client that forgets what it wanted
			}
			bound := 2 * time.Minute
			if rand.N(10) == 0 {
				bound = time.Duration(rand.N(300)) * time.Millisecond
			}
			one, cancel := context.WithTimeout(background(), bound)
			err := call(one)
			cancel()
			calls.Add(1)
			if err != nil {
				failures.Add(1)
				if c := status.Code(err); bound == 2*time.Minute && (c == codes.DeadlineExceeded || c == codes.Unavailable) {
					t.Errorf("a call with two minutes: %v", err)
				}
			}
		}
	}
}

// TestBurst starts many pods at once: all succeed, and none waits much longer than the
// others.
func TestBurst(t *testing.T) {
	pods := 50
	if all() {
		pods = 200
	}
	d := launch(t, daemon.Options{})
	d.CheckLeaks(t)
	took := make([]time.Duration, pods)
	requests := make([]*runtimeapi.RunPodSandboxRequest, pods)
	for i := range requests {
		requests[i] = d.PodRequest(t)
	}
	var all sync.WaitGroup
	begin := time.Now()
	for i, r := range requests {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(background(), 4*time.Minute)
			defer cancel()
			if _, err := d.Runtime.RunPodSandbox(ctx, r); err != nil {
				t.Errorf("pod %d: %v", i, err)
			}
			took[i] = time.Since(begin)
		})
	}
	all.Wait()
	slices.Sort(took)
	t.Logf("%d pods: first %s, median %s, last %s", pods, took[0], took[pods/2], took[pods-1])
	must(t, removeAll(daemon.Context(t), d))
}

// TestExecs: commands leave nothing in the daemon and in the shim, whoever gives up on
// them.
func TestExecs(t *testing.T) {
	execs := 600
	if all() {
		execs = 100_000
	}
	d := launch(t, daemon.Options{LogLevel: "info"})
	d.CheckLeaks(t)
	pod := d.RunPod(t)
	c := pod.Run(t, "sleep", "100000") // longer than all of this takes
	shim := shimPID(t, d, pod.ID)
	run := func(n int) {
		var workers sync.WaitGroup
		var left atomic.Int64
		left.Store(int64(n))
		for range 4 {
			workers.Go(func() {
				for left.Add(-1) >= 0 {
					ctx, cancel := context.WithTimeout(background(), time.Minute)
					r := &runtimeapi.ExecSyncRequest{ContainerId: c.ID, Cmd: []string{"true"}, Timeout: 30}
					abandoned := left.Load()%50 == 0
					if abandoned {
						r.Cmd = []string{"sh", "-c", "sleep 1000 & sleep 1000"}
						cancel()
						ctx, cancel = context.WithTimeout(background(), 100*time.Millisecond)
					}
					if _, err := d.Runtime.ExecSync(ctx, r); err != nil && !abandoned {
						t.Errorf("ExecSync, with %d to go: %v", left.Load(), err)
						left.Store(0)
					}
					cancel()
				}
			})
		}
		workers.Wait()
	}
	run(200) // until buffers and caches have their size
	before, shimBefore := usage(t, d.PID()), usage(t, shim)
	run(execs)
	daemon.Eventually(t, "gone: all commands", func() bool {
		return strings.TrimSpace(c.Output(t, "ps | grep -c '[s]leep 1000' || true")) == "1"
	})
	after, shimAfter := usage(t, d.PID()), usage(t, shim)
	t.Logf("%d commands: berthd %s, was %s; shim %s, was %s", execs, after, before, shimAfter, shimBefore)
	for what, u := range map[string][2]processUsage{"berthd": {before, after}, "the shim": {shimBefore, shimAfter}} {
		if u[1].fds > u[0].fds+8 || u[1].zombies > 0 || u[1].kib > u[0].kib+16<<10 {
			t.Errorf("%s has grown: %s, was %s", what, u[1], u[0])
		}
	}
}

type processUsage struct{ kib, fds, threads, zombies int }

func (u processUsage) String() string {
	return fmt.Sprintf("%d KiB, %d fds, %d threads, %d zombies", u.kib, u.fds, u.threads, u.zombies)
}

// usage is what a process has in use, and its children that nobody has waited for.
func usage(t *testing.T, pid int) processUsage {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d", pid)
	raw, err := os.ReadFile(dir + "/status")
	must(t, err)
	var u processUsage
	for line := range strings.Lines(string(raw)) {
		_, _ = fmt.Sscanf(line, "VmRSS: %d", &u.kib)
		_, _ = fmt.Sscanf(line, "Threads: %d", &u.threads)
	}
	entries, err := os.ReadDir(dir + "/fd")
	must(t, err)
	u.fds = len(entries)
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		stat, _ := os.ReadFile(name)
		if _, rest, ok := strings.Cut(string(stat), ") "); ok && strings.HasPrefix(rest, fmt.Sprintf("Z %d ", pid)) {
			u.zombies++
		}
	}
	return u
}
