package service

import (
	cshim "github.com/containerd/containerd/v2/pkg/shim"
	"github.com/containerd/containerd/v2/pkg/shutdown"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/plugin"
	pluginregistry "github.com/containerd/plugin/registry"
)

// RegisterPlugin registers the service as the task plugin of a shim that containerd itself starts
// and runs with shim.RunShim: without a control socket, and ending with its last container.
func RegisterPlugin() {
	pluginregistry.Register(&plugin.Registration{
		Type:     plugins.TTRPCPlugin,
		ID:       "task",
		Requires: []plugin.Type{plugins.EventPlugin, plugins.InternalPlugin},
		InitFn: func(ic *plugin.InitContext) (any, error) {
			pub, err := ic.GetByID(plugins.EventPlugin, "publisher")
			if err != nil {
				return nil, err
			}
			sd, err := ic.GetByID(plugins.InternalPlugin, "shutdown")
			if err != nil {
				return nil, err
			}
			return wrap(ic.Context, pub.(cshim.Publisher), sd.(shutdown.Service), false)
		},
	})
}
