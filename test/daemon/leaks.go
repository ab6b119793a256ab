package daemon

import (
	"context"
	"net/netip"
	"path/filepath"
	"testing"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/engine"
	"github.com/berth-run/berth/test/host"
)

// deadScope is what the daemon may leave behind when nothing of it runs any more.
func (d *Daemon) deadScope() host.Scope {
	n := d.Configuration.CNI.DefaultNetwork
	scope := host.Scope{Dir: d.Dir, Bridges: []string{n.Bridge}, Cgroups: []string{"/berth"}}
	for _, subnet := range n.Subnets {
		scope.Subnets = append(scope.Subnets, netip.MustParsePrefix(subnet))
	}
	return scope
}

// runningScope adds what can be looked at while the daemon runs: files, and containerd's
// objects. containerd's own files do not count, the bundles of shims excepted.
func (d *Daemon) runningScope() host.Scope {
	scope, p := d.deadScope(), d.Configuration.Paths()
	scope.KeepBridges = true
	scope.Containerd = d.ContainerdSocket()
	scope.Files = []string{p.Root, p.State}
	containerdRoot, containerdState := p.ContainerdRoot(), p.ContainerdState()
	if d.External {
		containerdRoot, containerdState = filepath.Join(d.Dir, "cr"), filepath.Join(d.Dir, "cs")
	}
	const bundles = "io.containerd.runtime.v2.task"
	scope.SkipFiles = []string{containerdRoot, containerdState, d.Certs, d.Configuration.CDI.SpecDirs[0], d.Configuration.CNI.ConfDir}
	scope.Files = append(scope.Files,
		filepath.Join(containerdRoot, bundles, "k8s.io"), filepath.Join(containerdState, bundles, "k8s.io"),
		filepath.Join(containerdState, engine.PodTasksDir, engine.Namespace))
	return scope
}

// liveScope adds the daemon's own file descriptors and goroutines.
func (d *Daemon) liveScope() host.Scope {
	scope := d.runningScope()
	scope.PID, scope.Debug = d.PID(), d.Configuration.Paths().DebugSocket()
	// The directories of cgroups stay open until statistics are asked for again.
	scope.Refresh = func(ctx context.Context) {
		_, _ = d.Runtime.ListPodSandboxStats(ctx, &runtimeapi.ListPodSandboxStatsRequest{})
	}
	return scope
}

func (d *Daemon) awaitClean(ctx context.Context, before host.Snapshot) error {
	if d.NoCleanupCheck {
		return nil
	}
	return host.AwaitClean(ctx, d.runningScope(), before)
}

// CheckLeaks makes the test fail when it leaves something on the host, or in the daemon.
// It has to be called before anything that registers a clean-up of its own.
func (d *Daemon) CheckLeaks(t testing.TB) {
	t.Helper()
	before, err := host.Take(Context(t), d.liveScope())
	if err != nil {
		t.Fatal(err)
	}
	pid := d.PID()
	t.Cleanup(func() {
		if t.Failed() {
			return // it may not have got to its own tidying; Close checks again
		}
		scope := d.liveScope()
		if d.PID() != pid {
			scope = d.runningScope() // another process, with other goroutines
		}
		if err := host.AwaitClean(Context(t), scope, before); err != nil {
			t.Error(err)
		}
	})
}

// Snapshot takes stock of what there is on the host of the daemon's, goroutines and
// descriptors included.
func (d *Daemon) Snapshot(t testing.TB) host.Snapshot {
	t.Helper()
	s, err := host.Take(Context(t), d.liveScope())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// AwaitAsBefore waits until the host has nothing of the daemon's that it had not then.
func (d *Daemon) AwaitAsBefore(t testing.TB, before host.Snapshot) {
	t.Helper()
	if err := host.AwaitClean(Context(t), d.liveScope(), before); err != nil {
		t.Error(err)
	}
}
