package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/cmd/containerd/server"
	srvconfig "github.com/containerd/containerd/v2/cmd/containerd/server/config"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/containerd/v2/version"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"
)

// clientPluginID names the plugin through which the in-memory client is handed
// out; it is visible in `ctr plugins ls`.
const clientPluginID = "berth"

// gcPause is the part of the time that containerd's garbage collection may take, with
// everything else waiting for it. Its 5 ms make that a collection every 2.5 s at most,
// and every removed container asks for one. By default it is 0.02: four times a second,
// where a node is busy, and as many wake-ups where it is not.
const gcPause = 0.002

// EmbeddedVersion is the version of the containerd that is linked in, in the
// form "v2.4.2".
func EmbeddedVersion() string {
	if v := moduleVersion("github.com/containerd/containerd/v2"); v != "" {
		return v
	}
	return version.Version
}

// openEmbedded initialises containerd's plugins in this process. containerd
// has one plugin registry per process, so it can be called only once.
func openEmbedded(ctx context.Context, o Options) (*Engine, error) {
	e := &Engine{Address: o.Address, TTRPCAddress: o.Address + ".ttrpc", Embedded: true}
	registerClientPlugin(func(c *containerd.Client) { e.Client = c })
	if err := servePodTasks(o); err != nil {
		return nil, err
	}

	cfg := embeddedConfig(o)
	if err := prepareDirs(ctx, cfg, o); err != nil {
		return nil, err
	}
	var err error
	if e.Quarantined, err = verify(ctx, o); err != nil {
		return nil, err
	}
	// The server keeps its context for as long as it lives; the caller's ends
	// with the start.
	serverCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	srv, err := server.New(serverCtx, cfg)
	if err == nil && e.Client == nil {
		err = errors.New("the client plugin was not initialised")
	}
	if err == nil {
		err = srv.Start(serverCtx)
	}
	if err != nil {
		stop()
		return nil, fmt.Errorf("start the embedded containerd (root %s, state %s): %w", o.Root, o.State, err)
	}
	srv.Wait()
	e.close = append(e.close, func() error { stop(); srv.Stop(); return nil })
	return e, e.ensureNamespace(ctx)
}

// embeddedConfig is the configuration that a containerd of Berth's own needs:
// every path under the given directories, and no plugin that would act by
// itself.
func embeddedConfig(o Options) *srvconfig.Config {
	return &srvconfig.Config{
		Version: version.ConfigVersion,
		Root:    o.Root,
		State:   o.State,
		RequiredPlugins: []string{
			string(plugins.MetadataPlugin) + ".bolt",
			string(plugins.RuntimePluginV2) + ".task",
			string(plugins.InternalPlugin) + "." + clientPluginID,
		},
		DisabledPlugins: []string{string(plugins.ServerPlugin) + ".grpc-tcp"},
		Plugins: map[string]any{
			string(plugins.ServerPlugin) + ".grpc":  map[string]any{"address": o.Address},
			string(plugins.ServerPlugin) + ".ttrpc": map[string]any{"address": o.Address + ".ttrpc"},
			string(plugins.ShimPlugin) + ".manager": map[string]any{"socket_dir": o.ShimSockets},
			string(plugins.GCPlugin) + ".scheduler": map[string]any{"pause_threshold": gcPause},
		},
	}
}

// prepareDirs makes the directories and clears temporary mounts that a crash
// of the last run may have left.
func prepareDirs(ctx context.Context, cfg *srvconfig.Config, o Options) error {
	if err := server.CreateTopLevelDirectories(cfg); err != nil {
		return fmt.Errorf("create the embedded containerd's directories: %w", err)
	}
	// Without this directory, as after a reboot, containerd does not look for the working
	// directories of tasks that are gone.
	if err := os.MkdirAll(filepath.Join(o.State, string(plugins.RuntimePluginV2)+".task", Namespace), 0o711); err != nil {
		return fmt.Errorf("create the embedded containerd's directories: %w", err)
	}
	if err := os.MkdirAll(o.ShimSockets, 0o711); err != nil {
		return fmt.Errorf("create the directory of shim sockets: %w", err)
	}
	removeHalfDeleted(ctx, o)
	if err := mount.SetTempMountLocation(filepath.Join(o.Root, "tmpmounts")); err != nil {
		return fmt.Errorf("set the directory of temporary mounts: %w", err)
	}
	warnings, err := mount.CleanupTempMounts(0)
	if err != nil {
		log.G(ctx).WithError(err).Warn("could not clear temporary mounts of the last run")
	}
	for _, w := range warnings {
		log.G(ctx).WithError(w).Warn("clearing temporary mounts of the last run")
	}
	return nil
}

// registerClientPlugin makes containerd hand over a client to its in-memory
// services once these exist.
func registerClientPlugin(got func(*containerd.Client)) {
	registry.Register(&plugin.Registration{
		Type: plugins.InternalPlugin,
		ID:   clientPluginID,
		Requires: []plugin.Type{
			plugins.EventPlugin,
			plugins.LeasePlugin,
			plugins.MountManagerPlugin,
			plugins.SandboxStorePlugin,
			plugins.ServicePlugin,
			plugins.SnapshotPlugin,
			plugins.TransferPlugin,
		},
		InitFn: func(ic *plugin.InitContext) (any, error) {
			clearSnapshotters(ic)
			client, err := containerd.New("",
				containerd.WithDefaultNamespace(Namespace),
				containerd.WithInMemoryServices(ic))
			if err != nil {
				return nil, fmt.Errorf("make a client of the in-memory services: %w", err)
			}
			got(client)
			return client, nil
		},
	})
}

// clearSnapshotters removes directories that no snapshot belongs to. A kill between the
// making of a snapshot's directory and the commit of its record leaves one, and it is in
// the way of the next snapshot, which gets the same number: nothing could be created
// until containerd's garbage collection happens to come by.
func clearSnapshotters(ic *plugin.InitContext) {
	all, err := ic.GetByType(plugins.SnapshotPlugin)
	if err != nil {
		return // none is usable: what needs one says so
	}
	for name, instance := range all {
		cleaner, ok := instance.(snapshots.Cleaner)
		if !ok {
			continue
		}
		// Before its first snapshot a snapshotter has no records to compare with.
		if err := cleaner.Cleanup(ic.Context); err != nil && !errdefs.IsNotFound(err) {
			log.G(ic.Context).WithError(err).WithField("snapshotter", name).Warn("could not remove directories of snapshots that do not exist")
		}
	}
}

// removeHalfDeleted removes bundles that were being deleted when the last run was
// killed: containerd renames them to a hidden name first, and never looks at those again.
func removeHalfDeleted(ctx context.Context, o Options) {
	for _, dir := range []string{o.Root, o.State} {
		found, err := filepath.Glob(filepath.Join(dir, string(plugins.RuntimePluginV2)+".task", "*", ".*"))
		for _, bundle := range found {
			err = errors.Join(err, os.RemoveAll(bundle))
		}
		if err != nil {
			log.G(ctx).WithError(err).Warn("could not remove bundles that were half deleted")
		}
	}
}
