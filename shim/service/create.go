package service

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/berth-run/berth/shim/api"
	"github.com/berth-run/berth/shim/ociruntime"
	"github.com/berth-run/berth/shim/rootfs"
	"github.com/berth-run/berth/shim/taskapi"
	"github.com/containerd/errdefs"
)

// optionsFile is in the bundle as long as there is a container to clean up after, see Cleanup. It is
// what containerd's shim leaves there too.
const optionsFile = "options.json"

// Create creates the container and its waiting init process, with the streams that the stdout URI
// asks for, and returns the PID.
func (s *Service) Create(ctx context.Context, r *taskapi.CreateRequest) (int, error) {
	c, err := s.newContainer(r)
	if err != nil {
		return 0, err
	}
	if err := s.reserve(c.id); err != nil {
		return 0, err
	}
	end := s.begin(c.id, r.Bundle)
	defer func() { end(err != nil && ctx.Err() == nil) }()
	dctx, cancel := detach(ctx)
	defer cancel()
	if err = s.create(dctx, c, r); err != nil {
		if dctx.Err() == nil {
			// The runtime took it all back: there is nothing to clean up.
			_ = os.Remove(filepath.Join(r.Bundle, optionsFile))
		}
		s.remove(c)
		return 0, err
	}
	rec := c.created()
	s.add(c)
	s.registry.publish(api.EventCreated, rec)
	s.events.publish(taskapi.TaskCreate(r, c.pid))
	go s.awaitExit(c)
	return c.pid, nil
}

func (s *Service) newContainer(r *taskapi.CreateRequest) (*container, error) {
	cfg, own, err := api.ParseIOConfig(r.Stdout)
	if err != nil {
		return nil, err
	}
	o, err := taskapi.ReadOptions(r.Options)
	if err != nil {
		return nil, err
	}
	if r.Checkpoint != "" {
		return nil, fmt.Errorf("restore container %s from a checkpoint: this shim cannot: %w", r.ID, errdefs.ErrInvalidArgument)
	}
	if cfg.TTY != r.Terminal && own {
		return nil, fmt.Errorf("stdout %q and terminal=%t contradict each other: %w", r.Stdout, r.Terminal, errdefs.ErrInvalidArgument)
	}
	root := o.Root
	if root == "" {
		root = ociruntime.DefaultRoot
	}
	return &container{
		id: r.ID, cfg: cfg, own: own, stdio: r.Stdio, options: o,
		runtime: &ociruntime.Runtime{
			Binary: o.BinaryName, Root: filepath.Join(root, s.namespace), Systemd: o.SystemdCgroup,
			ID: r.ID, Bundle: r.Bundle, Reaper: s.reaper,
		},
		phase: taskapi.Created, pidfd: -1, execs: make(map[string]*execution),
		dead: make(chan struct{}), done: make(chan struct{}),
	}, nil
}

// create makes everything that a container is, or nothing.
func (s *Service) create(ctx context.Context, c *container, r *taskapi.CreateRequest) (err error) {
	options, err := json.Marshal(c.options)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(r.Bundle, optionsFile), options, 0o600); err != nil {
		return err
	}
	if len(r.Rootfs) > 0 {
		root := filepath.Join(r.Bundle, "rootfs")
		if err := os.Mkdir(root, 0o711); err != nil && !os.IsExist(err) {
			return err
		}
		if err := rootfs.Mount(r.Rootfs, root, s.userns); err != nil {
			return err
		}
		c.rootfs = root
		defer func() {
			if err != nil {
				_ = rootfs.Unmount(root)
			}
		}()
	}
	p, err := c.plumb()
	if err == nil {
		err = s.runCreate(ctx, c, &p)
	}
	p.theirs.close()
	if err == nil {
		if err = c.connect(ctx, &p, s.bufs); err == nil {
			return nil
		}
		_ = c.group.Kill()
		<-c.exited
		if derr := c.runtime.Delete(ctx); derr != nil {
			logf("cannot delete container %s, which could not be connected: %v", c.id, derr)
		}
	}
	c.abandon(&p)
	return err
}

// runCreate has the runtime create the container and becomes the parent of its init.
func (s *Service) runCreate(ctx context.Context, c *container, p *plumbing) (err error) {
	expected := s.reaper.Expect()
	defer expected()
	c.pid, err = c.runtime.Create(ctx, ociruntime.CreateOptions{
		NoPivot: c.options.NoPivotRoot, NoNewKeyring: c.options.NoNewKeyring,
	}, p.runtimeStreams())
	if err != nil {
		if ctx.Err() != nil { // it was killed, and left what it had made
			dctx, cancel := context.WithTimeout(s.ctx, settleTimeout)
			defer cancel()
			_ = c.runtime.ForceDelete(dctx)
		}
		return err
	}
	c.exited = s.reaper.Watch(c.pid)
	c.inspect()
	return nil
}
