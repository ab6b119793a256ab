package side

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/bench/acct"
	"github.com/berth-run/berth/test/host"
)

// Close removes all pods, ends the daemons and takes away everything that the run made.
// The error also tells what was left on the host.
func (h *Host) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var errs []error
	for _, s := range h.Sides {
		if !s.Ours() || len(s.running) > 0 {
			errs = append(errs, s.RemovePods(ctx), s.Stop())
		}
		errs = append(errs, s.release())
		if s.conn != nil {
			s.conn.Close()
		}
	}
	if h.Registry != nil {
		h.Registry.Close()
	}
	errs = append(errs, discard(h.Dir, h.dataDir))
	if h.before != nil {
		errs = append(errs, h.leftovers(ctx))
	}
	return errors.Join(errs...)
}

// leftovers tells what the run left on the host.
func (h *Host) leftovers(ctx context.Context) error {
	err := host.AwaitClean(ctx, h.scope(), h.before)
	var left *host.Leftover
	if !errors.As(err, &left) {
		return err
	}
	var ours []string
	for _, thing := range left.Things {
		// A veth of no bridge may be anybody's who works on this machine.
		if !strings.HasPrefix(thing, "link ") {
			ours = append(ours, thing)
		}
	}
	if len(ours) == 0 {
		return nil
	}
	return &host.Leftover{Things: ours}
}

func (h *Host) scope() host.Scope {
	scope := host.Scope{Dir: h.Dir, Cgroups: []string{"/" + h.id}}
	for _, s := range h.Sides {
		if s.Bridge != "" {
			scope.Bridges = append(scope.Bridges, s.Bridge)
			scope.Subnets = append(scope.Subnets, netip.MustParsePrefix(s.Subnet))
		}
	}
	return scope
}

// Label marks everything that the benchmark runs; a runtime that was there before may
// have other pods.
const Label = "berth.test/bench"

// RemovePods stops and removes all pods of the benchmark.
func (s *Side) RemovePods(ctx context.Context) error {
	list, err := s.Runtime.ListPodSandbox(ctx, &runtimeapi.ListPodSandboxRequest{
		Filter: &runtimeapi.PodSandboxFilter{LabelSelector: map[string]string{Label: "pod"}},
	})
	if err != nil {
		return fmt.Errorf("%s: listing what pods are left: %w", s.Name, err)
	}
	var errs []error
	for _, pod := range list.GetItems() {
		id := pod.GetId()
		if _, err := s.Runtime.StopPodSandbox(ctx, &runtimeapi.StopPodSandboxRequest{PodSandboxId: id}); err != nil {
			errs = append(errs, fmt.Errorf("%s: stopping pod %s: %w", s.Name, id, err))
		}
		if _, err := s.Runtime.RemovePodSandbox(ctx, &runtimeapi.RemovePodSandboxRequest{PodSandboxId: id}); err != nil {
			errs = append(errs, fmt.Errorf("%s: removing pod %s: %w", s.Name, id, err))
		}
	}
	return errors.Join(errs...)
}

// discard takes away a run's processes, mounts, bridges, cgroups and directories in
// whatever state they are.
func discard(dir, data string) error {
	id := filepath.Base(dir)
	killGroup("/" + id)
	var errs []error
	for _, below := range []string{data, dir} {
		errs = append(errs, unmountBelow(below))
	}
	errs = append(errs, removeRules(id+"-"), removeBridges(id+"-"), acct.RemovePod("/"+id))
	if data != "" {
		errs = append(errs, os.RemoveAll(data))
	}
	if err := unix.Unmount(dir, 0); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		_ = unix.Unmount(dir, unix.MNT_DETACH)
	}
	return errors.Join(append(errs, os.RemoveAll(dir))...)
}

// killGroup kills the processes that are left in a cgroup and waits until they are gone.
func killGroup(path string) {
	for range 200 {
		pids := acct.PIDs(path)
		if len(pids) == 0 {
			return
		}
		for _, pid := range pids {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// unmountBelow unmounts everything below a directory, the latest first.
func unmountBelow(dir string) error {
	if dir == "" {
		return nil
	}
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	lines := strings.Split(string(text), "\n")
	for n := len(lines) - 1; n >= 0; n-- {
		if fields := strings.Fields(lines[n]); len(fields) > 4 && strings.HasPrefix(fields[4], dir+"/") {
			_ = unix.Unmount(fields[4], unix.MNT_DETACH)
		}
	}
	return nil
}

func removeBridges(prefix string) error {
	links, err := netlink.LinkList()
	if err != nil {
		return err
	}
	var errs []error
	for _, link := range links {
		if name := link.Attrs().Name; strings.HasPrefix(name, prefix) {
			errs = append(errs, netlink.LinkDel(link))
			// A bridge's rules, which it has where nftables is used.
			_ = exec.Command("nft", "delete", "table", "ip", "berth_loopback_"+strings.ReplaceAll(name, "-", "_")).Run()
		}
	}
	return errors.Join(errs...)
}
