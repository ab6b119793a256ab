package podtask

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	taskapi "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/containerd/api/types"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/events"
	"github.com/containerd/containerd/v2/core/runtime"
	"github.com/containerd/containerd/v2/pkg/identifiers"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/containerd/typeurl/v2"

	"github.com/berth-run/berth/engine/packedspec"
)

const (
	// endpointPrefix begins the address of a pod's shim.
	endpointPrefix = "ttrpc+unix://"
	// undoTimeout bounds taking back what a failed call has begun.
	undoTimeout = 10 * time.Second
)

// Runtime is containerd's PlatformRuntime for the tasks in pods' shims and, through the
// one it stands in front of, for all others.
type Runtime struct {
	o     Options
	tasks *runtime.NSMap[*known]
}

// known is a task of a pod's shim that is known to exist, or may.
type known struct {
	record
	id, namespace string
	bundle        bundle
	// turn is held by who creates or deletes the task.
	turn chan struct{}
	// created reports whether there was a task, whose end somebody wants to hear of.
	created bool
	// gone reports whether the task has gone since.
	gone bool
}

func (r *Runtime) newTask(namespace, id string) *known {
	return &known{
		id: id, namespace: namespace, bundle: bundle(filepath.Join(r.o.Dir, namespace, id)), turn: make(chan struct{}, 1),
	}
}

// acquire waits for the turn; release ends it.
func (k *known) acquire(ctx context.Context) (release func(), err error) {
	select {
	case k.turn <- struct{}{}:
		return func() { <-k.turn }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("task %s is being created or deleted: %w", k.id, ctx.Err())
	}
}

// ID of the container that the task is of.
func (k *known) ID() string { return k.id }

// Options says what a Runtime works with.
type Options struct {
	// Others has the tasks that are not in a pod's shim.
	Others runtime.PlatformRuntime
	// Containers are the records: a task belongs to one.
	Containers containers.Store
	// Events is told of the exits of tasks whose shims died.
	Events events.Publisher
	// Shim is the path of the shim's binary, which cleans up after shims that died.
	Shim string
	// Dir is the directory of bundles, on tmpfs.
	Dir string
}

// New makes a Runtime, which knows the tasks of earlier daemons. It does not look whether
// their shims live: who deletes a task finds out. Those without a record, which nobody would
// delete, are ended in the background, until ctx is done.
func New(ctx context.Context, o Options) *Runtime {
	r := &Runtime{o: o, tasks: runtime.NewNSMap[*known]()}
	if stray := r.load(ctx); len(stray) > 0 {
		go r.endStray(ctx, stray)
	}
	return r
}

// ID is the ID of containerd's task manager, which the runtime stands in front of.
func (r *Runtime) ID() string { return r.o.Others.ID() }

// PluginInfo tells of a runtime, where the one that this stands in front of can.
func (r *Runtime) PluginInfo(ctx context.Context, request any) (any, error) {
	informed, ok := r.o.Others.(interface {
		PluginInfo(context.Context, any) (any, error)
	})
	if !ok {
		return nil, errdefs.ErrNotImplemented
	}
	return informed.PluginInfo(ctx, request)
}

// Create creates a task, in the pod's shim when opts has its address.
func (r *Runtime) Create(ctx context.Context, id string, opts runtime.CreateOpts) (runtime.Task, error) {
	// The task service reads the database itself.
	spec, err := packedspec.Unpack(opts.Spec)
	if err != nil {
		return nil, fmt.Errorf("create task %s: %w", id, err)
	}
	opts.Spec = spec
	socket, ours := strings.CutPrefix(opts.Address, endpointPrefix)
	if !ours {
		return r.o.Others.Create(ctx, id, opts)
	}
	namespace, err := namespaces.NamespaceRequired(ctx)
	if err != nil {
		return nil, err
	}
	if err := identifiers.Validate(id); err != nil {
		return nil, fmt.Errorf("task %q: %w", id, err)
	}
	k := r.newTask(namespace, id)
	k.record = record{Version: recordVersion, Socket: socket}
	release, err := k.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	if err := r.tasks.Add(ctx, k); err != nil {
		return nil, fmt.Errorf("task %w", err)
	}
	if err := k.bundle.make(k.record, opts.Spec.GetValue()); err != nil {
		r.tasks.Delete(ctx, id)
		k.gone = true
		return nil, fmt.Errorf("make the bundle of task %s: %w", id, err)
	}
	t := &task{process{known: k}}
	if err := t.create(ctx, opts); err != nil {
		r.undo(ctx, k)
		return nil, fmt.Errorf("create task %s: %w", id, err)
	}
	k.created = true
	return t, nil
}

func (t *task) create(ctx context.Context, opts runtime.CreateOpts) error {
	options := opts.TaskOptions
	if options == nil || options.GetValue() == nil {
		options = opts.RuntimeOptions
	}
	req := &taskapi.CreateTaskRequest{
		ID: t.id, Bundle: string(t.bundle), Options: typeurl.MarshalProto(options), Checkpoint: opts.Checkpoint,
		Stdin: opts.IO.Stdin, Stdout: opts.IO.Stdout, Stderr: opts.IO.Stderr, Terminal: opts.IO.Terminal,
	}
	for _, m := range opts.Rootfs {
		req.Rootfs = append(req.Rootfs, &types.Mount{Type: m.Type, Source: m.Source, Target: m.Target, Options: m.Options})
	}
	return ask(ctx, t.Socket, func(shim taskapi.TTRPCTaskService) error {
		resp, err := shim.Create(ctx, req)
		t.pid = resp.GetPid()
		return err
	})
}

// undo takes a creation back that failed, or whose outcome is not known: then the task
// stays known until somebody deletes it.
func (r *Runtime) undo(ctx context.Context, k *known) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	if _, err := r.delete(ctx, k); err != nil && !errdefs.IsNotFound(err) {
		log.G(ctx).WithError(err).WithField("id", k.id).Warn("could not take back the creation of a task")
	}
}

// Get returns a task. It does not ask the shim.
func (r *Runtime) Get(ctx context.Context, id string) (runtime.Task, error) {
	k, err := r.tasks.Get(ctx, id)
	if err != nil {
		return r.o.Others.Get(ctx, id)
	}
	return &task{process{known: k}}, nil
}

// Tasks lists the tasks of a namespace, or of all.
func (r *Runtime) Tasks(ctx context.Context, all bool) ([]runtime.Task, error) {
	out, err := r.o.Others.Tasks(ctx, all)
	if err != nil {
		return nil, err
	}
	ours, err := r.tasks.GetAll(ctx, all)
	for _, k := range ours {
		out = append(out, &task{process{known: k}})
	}
	return out, err
}

// Delete removes a task that has ended, and its bundle.
func (r *Runtime) Delete(ctx context.Context, id string) (*runtime.Exit, error) {
	k, err := r.tasks.Get(ctx, id)
	if err != nil {
		return r.o.Others.Delete(ctx, id)
	}
	release, err := k.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	return r.delete(ctx, k)
}

// delete removes a task in its shim, and what is known of it. Its turn is held.
func (r *Runtime) delete(ctx context.Context, k *known) (*runtime.Exit, error) {
	if k.gone {
		return nil, fmt.Errorf("task %s: %w", k.id, errdefs.ErrNotFound)
	}
	exit, err := k.delete(ctx, "")
	switch {
	case errors.Is(err, errShimGone):
		return r.removeDead(ctx, k)
	case errdefs.IsNotFound(err):
		// A shim that was started after the task's own had died, or a second attempt.
		if _, berr := r.removeDead(ctx, k); berr != nil {
			return nil, berr
		}
		return nil, err
	case err != nil:
		return nil, err
	}
	return exit, r.forget(ctx, k)
}

// forget removes the bundle, and with it the last that is known of the task.
func (r *Runtime) forget(ctx context.Context, k *known) error {
	if err := k.bundle.remove(); err != nil {
		return err
	}
	r.tasks.Delete(ctx, k.id)
	k.gone = true
	return nil
}
