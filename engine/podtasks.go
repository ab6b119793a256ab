package engine

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	containersapi "github.com/containerd/containerd/api/services/containers/v1"
	"github.com/containerd/containerd/v2/core/events/exchange"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/core/runtime"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/containerd/v2/plugins/services"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"

	"github.com/berth-run/berth/engine/packedspec"
	"github.com/berth-run/berth/engine/podtask"
)

// PodTasksDir is the directory, below the state directory of the embedded containerd, of
// the bundles of pods' containers.
const PodTasksDir = "berth.tasks"

// servePodTasks puts a podtask.Runtime in front of containerd's task manager, and packed OCI
// specs behind its container service. Other plugins take these by their names, hence the
// plugins of these names are registered anew.
func servePodTasks(o Options) error {
	missing := map[string]func(*plugin.Registration){
		string(plugins.RuntimePluginV2) + ".task": func(r *plugin.Registration) {
			r.Requires = append(r.Requires, plugins.EventPlugin, plugins.MetadataPlugin)
			r.InitFn = inFront(r.InitFn, o)
		},
		string(plugins.ServicePlugin) + "." + services.ContainersService: func(r *plugin.Registration) {
			r.InitFn = packed(r.InitFn)
		},
	}
	all := registry.Graph(func(*plugin.Registration) bool { return false })
	registry.Reset()
	for _, r := range all {
		if change := missing[r.URI()]; change != nil {
			change(&r)
			delete(missing, r.URI())
		}
		registry.Register(&r)
	}
	if len(missing) > 0 {
		return fmt.Errorf("this containerd lacks plugins: %v", slices.Collect(maps.Keys(missing)))
	}
	return nil
}

// packed packs the OCI specs of a container service.
func packed(open func(*plugin.InitContext) (any, error)) func(*plugin.InitContext) (any, error) {
	return func(ic *plugin.InitContext) (any, error) {
		service, err := open(ic)
		if err != nil {
			return nil, err
		}
		return packedspec.Containers(service.(containersapi.ContainersClient)), nil
	}
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
