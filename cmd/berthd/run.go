package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"k8s.io/klog/v2"

	"github.com/berth-run/berth/config"
)

// run assembles the daemon and serves until ctx ends. It calls notifyReady
// once the socket answers, and starts watchdog with the daemon's health check.
func run(ctx context.Context, c *config.Config) (err error) {
	// Not dumpable: a process that shares the daemon's memory on its way into a pod's user namespace
	// can then not be opened by root containers that see the host's processes.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("make the daemon's memory inaccessible: %w", err)
	}
	d, err := assemble(ctx, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	if err := recoverInTime(ctx, d); err != nil {
		return err
	}
	if err := d.openServers(); err != nil {
		return err
	}
	listener, err := listen(c.Address)
	if err != nil {
		return err
	}
	debug, err := newDebugServer(c.Paths().DebugSocket(), d.failpoints, d.pods)
	if err != nil {
		return err
	}
	server := d.server()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return server.Serve(listener) })
	group.Go(d.streaming.Serve)
	group.Go(func() error { return debug.serve(ctx) })
	group.Go(func() error { return d.network.Run(ctx) })
	if d.exporter != nil {
		group.Go(d.exporter.Serve)
	}
	group.Go(func() error { watchdog(ctx, d.healthy); return nil })
	group.Go(func() error { d.collectNetworks(ctx); return nil })
	group.Go(func() error { d.trimmer.run(ctx); return nil })
	d.announce()
	notifyReady("serving the CRI at " + c.Address)

	<-ctx.Done()
	group.Go(func() error { return d.stop(server) })
	return group.Wait()
}

// recoverInTime lets the daemon take up what earlier daemons left, and keeps systemd from ending it meanwhile.
func recoverInTime(ctx context.Context, d *daemon) error {
	starting, recovered := context.WithTimeout(ctx, startBound)
	defer recovered()
	go extendStart(starting, startPause)
	return d.recover(ctx)
}

// listen makes the CRI socket, for root alone. What a former daemon left at its
// place is removed: the lock on the state directory tells that none is there.
func listen(address string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(address), 0o711); err != nil {
		return nil, fmt.Errorf("make the directory of the CRI socket: %w", err)
	}
	if err := os.Remove(address); err != nil && !os.IsNotExist(err) {
		return nil, fmt.Errorf("remove the former socket: %w", err)
	}
	l, err := net.Listen("unix", address)
	if err != nil {
		return nil, fmt.Errorf("listen at the CRI socket %s: %w", address, err)
	}
	if err := os.Chmod(address, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("protect the CRI socket: %w", err), l.Close())
	}
	return l, nil
}

// stop ends the servers: no new calls, a bounded wait for those under way.
func (d *daemon) stop(server *grpc.Server) error {
	ctx, cancel := context.WithTimeout(context.Background(), d.config.Pod.DrainTimeout.Duration)
	defer cancel()
	stopped := make(chan struct{})
	go func() { server.GracefulStop(); close(stopped) }()
	d.feedEnd() // subscribers of events would hold GracefulStop up for ever
	err := interrupted(d.streaming.Close(ctx))
	select {
	case <-stopped:
	case <-ctx.Done():
		server.Stop()
	}
	if d.exporter != nil {
		err = errors.Join(err, interrupted(d.exporter.Shutdown(ctx)))
	}
	return err
}

// interrupted takes the error of somebody who was to end within pod.drain_timeout and did
// not. That is no failure of the daemon: the next start finishes or undoes what was begun.
func interrupted(err error) error {
	if !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	klog.Background().Info("Ending with work under way; the next start finishes or undoes it", "what", err.Error())
	return nil
}

// collectNetworks drops stale network attachments now and then.
func (d *daemon) collectNetworks(ctx context.Context) {
	d.pods.RunGC(ctx, d.config.CNI.GCInterval.Duration, func(err error) {
		klog.FromContext(ctx).Error(err, "Cannot drop stale network attachments; trying again later")
	})
}

// healthy is the liveness of the daemon: reads, which never leave the process,
// answer. It fails when a lock is held for ever.
func (d *daemon) healthy(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		d.pods.Visible()
		d.containers.Visible()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return errors.New("listing pods and containers does not return")
	case <-time.After(healthTimeout):
		return errors.New("listing pods and containers does not return")
	}
}

// healthTimeout bounds a health check.
const healthTimeout = 5 * time.Second
