package main

import (
	"context"
	"fmt"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"
)

// What systemd is told, see sd_notify(3). All of it is without effect where
// systemd did not start the daemon, that is, without NOTIFY_SOCKET.

// notifyReady says that the CRI socket answers; status is shown by systemctl.
func notifyReady(status string) {
	message := systemd.SdNotifyReady
	if status != "" {
		message += "\nSTATUS=" + status
	}
	notify(message)
}

const (
	// startPause is the time between two requests for more time to start. It is shorter than any useful
	// TimeoutStartSec=.
	startPause = 20 * time.Second
	// startBound is the longest time that a start asks for. Recovery waits for CNI plugins that an earlier daemon left
	// and runs their DEL, each for up to cni.del_timeout.
	startBound = 15 * time.Minute
)

// extendStart asks systemd for more time to start, each pause again, until ctx ends. A daemon that systemd ends in the
// middle of recovery would begin it again from the start, and never serve.
func extendStart(ctx context.Context, pause time.Duration) {
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			notify(fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d\nSTATUS=taking up what runs on this node", (3 * pause).Microseconds()))
		}
	}
}

// notifyStopping says that a clean end has begun.
func notifyStopping() { notify(systemd.SdNotifyStopping) }

// notifyReloading says that the configuration is read again; notifyReady ends it.
func notifyReloading() {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return
	}
	notify(fmt.Sprintf("%s\nMONOTONIC_USEC=%d", systemd.SdNotifyReloading, now.Nano()/1000))
}

func notify(message string) {
	if _, err := systemd.SdNotify(false, message); err != nil {
		klog.Background().Error(err, "Cannot tell systemd about the daemon's state")
	}
}

// watchdog tells systemd that the daemon lives for as long as healthy says so,
// until ctx ends. Without a WatchdogSec it returns at once. A daemon that fails
// its own health check is silent, which lets systemd restart it.
func watchdog(ctx context.Context, healthy func(context.Context) error) {
	interval, err := systemd.SdWatchdogEnabled(false)
	if err != nil || interval <= 0 {
		return
	}
	ticker := time.NewTicker(interval / 3)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		check, cancel := context.WithTimeout(ctx, interval/3)
		err := healthy(check)
		cancel()
		if err != nil {
			klog.FromContext(ctx).Error(err, "The health check failed; systemd gets no sign of life")
			continue
		}
		notify(systemd.SdNotifyWatchdog)
	}
}
