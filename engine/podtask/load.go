package podtask

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	goruntime "runtime"

	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"golang.org/x/sync/errgroup"
)

// load makes the tasks of earlier daemons known. What it cannot make sense of is left
// where it is, and said in the log; it does not keep the daemon from starting.
func (r *Runtime) load(ctx context.Context) error {
	spaces, err := os.ReadDir(r.Dir)
	if err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("look for tasks of an earlier daemon: %w", err)
	}
	var g errgroup.Group
	g.SetLimit(goruntime.GOMAXPROCS(0)) // most of them only connect; cleaning up runs programs
	for _, space := range spaces {
		ids, err := os.ReadDir(filepath.Join(r.Dir, space.Name()))
		if err != nil {
			return fmt.Errorf("look for tasks of an earlier daemon: %w", err)
		}
		ctx := namespaces.WithNamespace(ctx, space.Name())
		for _, id := range ids {
			g.Go(func() error {
				if err := r.loadTask(ctx, space.Name(), id.Name()); err != nil {
					log.G(ctx).WithError(err).WithField("id", id.Name()).Error("could not load the task of an earlier daemon")
				}
				return nil
			})
		}
	}
	return g.Wait()
}

func (r *Runtime) loadTask(ctx context.Context, namespace, id string) error {
	k := &known{id: id, namespace: namespace, bundle: bundle(filepath.Join(r.Dir, namespace, id))}
	var err error
	if k.record, err = k.bundle.read(); errdefs.IsNotFound(err) {
		return k.bundle.remove()
	} else if err != nil {
		return err
	}
	if err := r.tasks.Add(ctx, k); err != nil {
		return err
	}
	if _, err := r.Containers.Get(ctx, id); errdefs.IsNotFound(err) {
		log.G(ctx).WithField("id", id).Warn("ending a container that has no record")
		_, err = r.bury(ctx, k)
		return err
	}
	conn, err := dial(ctx, k.Socket)
	if errors.Is(err, errShimGone) {
		log.G(ctx).WithField("id", id).Info("cleaning up after a container whose shim has died")
		_, err = r.bury(ctx, k)
		return err
	}
	if err != nil {
		return err // it may be well all the same
	}
	return conn.Close()
}
