package engine

import (
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
func servePodTasks(o Options) error {
	found := false
	all := registry.Graph(func(*plugin.Registration) bool { return false })
	registry.Reset()
	for _, r := range all {
		if r.Type == plugins.RuntimePluginV2 && r.ID == "task" {
			r.Requires = append(r.Requires, plugins.EventPlugin, plugins.MetadataPlugin)
			r.InitFn = inFront(r.InitFn, o)
			found = true
		}
		registry.Register(&r)
	}
	if !found {
		return fmt.Errorf("this containerd has no plugin %s.task", plugins.RuntimePluginV2)
	}
	return nil
}

func inFront(open func(*plugin.InitContext) (any, error), o Options) func(*plugin.InitContext) (any, error) {
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
		return podtask.New(ic.Context, podtask.Options{
			Others: manager.(runtime.PlatformRuntime), Containers: metadata.NewContainerStore(db.(*metadata.DB)),
			Events: publisher.(*exchange.Exchange), Shim: o.Shim, Dir: filepath.Join(o.State, PodTasksDir),
		}), nil
	}
}
