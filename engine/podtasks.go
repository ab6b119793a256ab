package engine

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/events/exchange"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/core/runtime"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"

	"github.com/berth-run/berth/engine/podtask"
)

// PodTasksDir is the directory, below the state directory of the embedded containerd, of
// the bundles of pods' containers.
const PodTasksDir = "berth.tasks"

// servePodTasks puts a podtask.Runtime in front of containerd's task manager. The task
// service takes the runtime of that one name only, hence the plugin of that name is
// registered anew.
func servePodTasks(o Options) {
	all := registry.Graph(func(*plugin.Registration) bool { return false })
	registry.Reset()
	for _, r := range all {
		if r.Type == plugins.RuntimePluginV2 && r.ID == "task" {
			r.Requires = append(r.Requires, plugins.EventPlugin, plugins.MetadataPlugin)
			r.InitFn = inFront(r.InitFn, filepath.Join(o.State, PodTasksDir))
		}
		registry.Register(&r)
	}
}

func inFront(open func(*plugin.InitContext) (any, error), dir string) func(*plugin.InitContext) (any, error) {
	return func(ic *plugin.InitContext) (any, error) {
		manager, err := open(ic)
		if err != nil {
			return nil, err
		}
		publisher, err := ic.GetByID(plugins.EventPlugin, "exchange")
		if err != nil {
			return nil, err
		}
		db, err := ic.GetSingle(plugins.MetadataPlugin)
		if err != nil {
			return nil, err
		}
		tasks, err := podtask.New(context.WithoutCancel(ic.Context), podtask.Options{
			Others: manager.(runtime.PlatformRuntime), Containers: metadata.NewContainerStore(db.(*metadata.DB)),
			Events: publisher.(*exchange.Exchange), Dir: dir,
		})
		if err != nil {
			return nil, fmt.Errorf("serve the tasks of pods: %w", err)
		}
		return tasks, nil
	}
}
