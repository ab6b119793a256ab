package podtask

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
)

// strayRetry is the pause before ending a task without a record is tried again.
const strayRetry = 10 * time.Second

// load makes the tasks of earlier daemons known, and returns those without a record. What it
// cannot make sense of is left where it is, and said in the log: it does not keep the daemon
// from starting.
func (r *Runtime) load(ctx context.Context) (stray []*known) {
	for _, namespace := range directories(ctx, r.o.Dir) {
		ctx := namespaces.WithNamespace(ctx, namespace)
		for _, id := range directories(ctx, filepath.Join(r.o.Dir, namespace)) {
			k, err := r.loadTask(ctx, namespace, id)
			if err != nil {
				log.G(ctx).WithError(err).WithField("id", id).Error("could not load the task of an earlier daemon")
			}
			if k == nil {
				continue
			}
			if _, err := r.o.Containers.Get(ctx, id); errdefs.IsNotFound(err) {
				stray = append(stray, k)
			}
		}
	}
	return stray
}

// loadTask makes a task known; nil when there is only half a bundle.
func (r *Runtime) loadTask(ctx context.Context, namespace, id string) (*known, error) {
	k := r.newTask(namespace, id)
	var err error
	if k.record, err = k.bundle.read(); errdefs.IsNotFound(err) {
		return nil, k.bundle.remove()
	} else if err != nil {
		return nil, err
	}
	k.created = true
	return k, r.tasks.Add(ctx, k)
}

func directories(ctx context.Context, dir string) (names []string) {
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		log.G(ctx).WithError(err).Error("could not look for tasks of an earlier daemon")
	}
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}

// endStray ends tasks that have no record, however often that has to be tried.
func (r *Runtime) endStray(ctx context.Context, stray []*known) {
	for len(stray) > 0 && ctx.Err() == nil {
		left := stray[:0]
		for _, k := range stray {
			log.G(ctx).WithField("id", k.id).Warn("ending a container that has no record")
			if err := r.endOne(ctx, k); err != nil {
				log.G(ctx).WithError(err).WithField("id", k.id).Error("could not end a container that has no record")
				left = append(left, k)
			}
		}
		if stray = left; len(stray) == 0 {
			return
		}
		select {
		case <-time.After(strayRetry):
		case <-ctx.Done():
		}
	}
}

func (r *Runtime) endOne(ctx context.Context, k *known) error {
	release, err := k.acquire(ctx)
	if err != nil {
		return err
	}
	defer release()
	if k.gone {
		return nil
	}
	_, err = r.removeDead(ctx, k)
	return err
}
