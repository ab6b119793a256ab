package main

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/berth-run/berth/shim/api"
	"github.com/berth-run/berth/shim/service"
)

// deleteTimeout bounds the clean-up after a dead shim.
const deleteTimeout = time.Minute

// delete answers containerd's request to clean up; the working directory is the bundle.
func (c *command) delete() error {
	bundle := c.bundle
	if bundle == "" {
		var err error
		if bundle, err = os.Getwd(); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), deleteTimeout)
	defer cancel()
	out, err := service.Cleanup(ctx, c.namespace, c.id, bundle)
	if err != nil {
		fmt.Fprintf(os.Stderr, "berth-shim: clean up container %s: %v\n", c.id, err)
	}
	if out == nil {
		return err
	}
	_, err = os.Stdout.Write(out)
	return err
}

// start starts an ordinary shim for one container and says where it listens.
func (c *command) start() error {
	path := c.socket()
	if err := os.MkdirAll(filepath.Dir(path), 0o711); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return err
	}
	l.SetUnlinkOnClose(false)
	f, err := l.File()
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, "-namespace", c.namespace, "-id", c.id, "-address", c.address)
	cmd.Env = append(os.Environ(), envOrdinary+"="+path, "GOMAXPROCS=1")
	cmd.ExtraFiles = []*os.File{f} // api.TaskFD
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		os.Remove(path)
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"version": api.TaskAPIVersion, "protocol": "ttrpc", "address": "unix://" + path,
	})
}

// socket is a path that is short enough and the container's own.
func (c *command) socket() string {
	h := fnv.New128a()
	fmt.Fprintf(h, "%s\x00%s\x00%s", c.address, c.namespace, c.id)
	return filepath.Join(filepath.Dir(c.address), "s", fmt.Sprintf("%x", h.Sum(nil)))
}
