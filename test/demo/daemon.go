package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/berth-run/berth/config"
	"github.com/berth-run/berth/test/images"
)

// daemon is a berthd with directories of its own.
type daemon struct {
	cmd *exec.Cmd
	// dir holds everything it writes.
	dir    string
	log    *os.File
	socket string
	bridge string
	exited chan error
}

// startDaemon starts the berthd of this source tree and waits until it is ready.
func startDaemon(ctx context.Context) (*daemon, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("berthd has to run as root; start the demonstration as root, or name a running one with BERTH_ADDRESS")
	}
	top, err := images.Root()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("/var/tmp", "berth-demo-")
	if err != nil {
		return nil, err
	}
	d := &daemon{dir: dir, exited: make(chan error, 1)}
	if err := d.start(ctx, filepath.Join(top, "bin", "berthd")); err != nil {
		return nil, errors.Join(err, d.stop(true))
	}
	return d, nil
}

func (d *daemon) start(ctx context.Context, program string) error {
	root, state := filepath.Join(d.dir, "root"), filepath.Join(d.dir, "run")
	file := filepath.Join(d.dir, "config.toml")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		return err
	}
	c, err := config.Load(config.LoadOptions{File: file, Overrides: config.Overrides{Root: &root, State: &state}})
	if err != nil {
		return err
	}
	d.socket, d.bridge = c.Address, c.CNI.DefaultNetwork.Bridge
	if d.log, err = os.Create(filepath.Join(d.dir, "berthd.log")); err != nil {
		return err
	}
	ready, err := newReadiness(filepath.Join(d.dir, "notify"))
	if err != nil {
		return err
	}
	defer ready.Close()
	d.cmd = exec.Command(program, "--config", file, "--root", root, "--state", state)
	d.cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+ready.LocalAddr().String())
	d.cmd.Stdout, d.cmd.Stderr = d.log, d.log
	// A Ctrl-C is for the demonstration, which stops berthd when it has tidied up.
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := d.cmd.Start(); err != nil {
		d.cmd = nil
		return fmt.Errorf("%w; run: make build", err)
	}
	go func() { d.exited <- d.cmd.Wait() }()
	return d.await(ctx, ready)
}

// await returns once berthd says that it is ready.
func (d *daemon) await(ctx context.Context, ready *net.UnixConn) error {
	said := make(chan error, 1)
	go func() { said <- readReady(ready) }()
	select {
	case err := <-said:
		return err
	case err := <-d.exited:
		d.exited <- err
		return fmt.Errorf("berthd ended at its start: %v", err)
	case <-time.After(30 * time.Second):
		return errors.New("berthd was not ready after 30 s")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// newReadiness listens for what berthd tells its service manager, sd_notify(3).
func newReadiness(name string) (*net.UnixConn, error) {
	return net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
}

func readReady(conn *net.UnixConn) error {
	buf := make([]byte, 4096)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return err
		}
		for _, line := range strings.Split(string(buf[:n]), "\n") {
			if line == "READY=1" {
				return nil
			}
		}
	}
}

// stop ends berthd and removes all traces of it.
func (d *daemon) stop(failed bool) error {
	var errs []error
	if d.cmd != nil {
		_ = d.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-d.exited:
		case <-time.After(40 * time.Second):
			errs = append(errs, errors.New("berthd did not stop within 40 s and was killed"))
			_ = d.cmd.Process.Kill()
			<-d.exited
		}
	}
	if d.log != nil {
		d.log.Close()
		if failed {
			d.showLog()
		}
	}
	if link, err := netlink.LinkByName(d.bridge); err == nil && d.bridge != "" {
		errs = append(errs, netlink.LinkDel(link))
		// The bridge's rules, which it has where nftables is used.
		_ = exec.Command("nft", "delete", "table", "ip", "berth_loopback_"+d.bridge).Run()
	}
	errs = append(errs, os.RemoveAll(d.dir))
	return errors.Join(errs...)
}

// showLog prints the end of berthd's log.
func (d *daemon) showLog() {
	data, err := os.ReadFile(d.log.Name())
	if err != nil {
		return
	}
	const last = 30
	var lines []string
	for s := bufio.NewScanner(bytes.NewReader(data)); s.Scan(); {
		lines = append(lines, s.Text())
	}
	fmt.Fprintln(os.Stderr, "\nThe end of berthd's log:")
	for _, l := range lines[max(0, len(lines)-last):] {
		fmt.Fprintln(os.Stderr, "  "+l)
	}
}
