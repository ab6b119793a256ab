package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/host"
)

// Close removes all pods, ends the daemon, and removes everything it made. The error
// also tells what was left on the host, unless NoCleanupCheck is set.
func (d *Daemon) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var errs []error
	if d.berthd.alive() {
		errs = append(errs, d.removePods(ctx), d.awaitClean(ctx, d.started), d.berthd.stop())
	}
	if d.ContainerdPID() != 0 {
		errs = append(errs, d.containerd.stop())
	}
	d.removeBridges()
	if !d.NoCleanupCheck {
		errs = append(errs, host.AwaitClean(ctx, d.deadScope(), d.before))
	}
	return errors.Join(append(errs, d.discard())...)
}

func (d *Daemon) removePods(ctx context.Context) error {
	list, err := d.Runtime.ListPodSandbox(ctx, &runtimeapi.ListPodSandboxRequest{})
	if err != nil {
		return err
	}
	var errs []error
	for _, pod := range list.GetItems() {
		if _, err := d.Runtime.RemovePodSandbox(ctx, &runtimeapi.RemovePodSandboxRequest{PodSandboxId: pod.GetId()}); err != nil {
			errs = append(errs, fmt.Errorf("removing pod %s: %w", pod.GetId(), err))
		}
	}
	return errors.Join(errs...)
}

// discard ends what still runs and removes the directory, whatever state it is in.
func (d *Daemon) discard() error {
	var errs []error
	d.lastLog = d.Log()
	if d.conn != nil {
		d.conn.Close()
	}
	if d.berthd != nil && d.berthd.alive() {
		d.berthd.kill()
	}
	if d.containerd != nil && d.containerd.alive() {
		errs = append(errs, d.containerd.stop())
	}
	d.removeBridges()
	d.unmount()
	return errors.Join(append(errs, os.RemoveAll(d.Dir))...)
}

// removeBridges deletes the bridges of the default network, which stay when the last
// pod goes.
func (d *Daemon) removeBridges() {
	if d.Configuration == nil {
		return
	}
	links, _ := netlink.LinkList()
	for _, link := range links {
		name, bridge := link.Attrs().Name, d.Configuration.CNI.DefaultNetwork.Bridge
		if name == bridge || strings.HasPrefix(name, bridge+"-") {
			_ = netlink.LinkDel(link)
			_ = exec.Command("nft", "delete", "table", "ip", "berth_loopback_"+strings.ReplaceAll(name, "-", "_")).Run()
		}
	}
}

// unmount takes away every mount below the directory, the latest first.
func (d *Daemon) unmount() {
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	lines := strings.Split(string(mounts), "\n")
	for n := len(lines) - 1; n >= 0; n-- {
		if fields := strings.Fields(lines[n]); len(fields) > 4 && strings.HasPrefix(fields[4], d.Dir+"/") {
			_ = unix.Unmount(fields[4], unix.MNT_DETACH)
		}
	}
}
