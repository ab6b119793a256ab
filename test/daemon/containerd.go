package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// containerdTOML is the configuration of an external containerd. What acts by itself,
// or outside the directory, is disabled.
const containerdTOML = `version = 4
root = "%[1]s/cr"
state = "%[1]s/cs"
imports = []
disabled_plugins = [
  "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime", "io.containerd.grpc.v1.cri",
  "io.containerd.nri.v1.nri", "io.containerd.internal.v1.opt", "io.containerd.internal.v1.restart",
  "io.containerd.monitor.container.v1.restart",
]

[plugins.'io.containerd.server.v1.grpc']
  address = "%[1]s/containerd.sock"
[plugins.'io.containerd.server.v1.ttrpc']
  address = "%[1]s/containerd.sock.ttrpc"
[plugins.'io.containerd.shim.v1.manager']
  socket_dir = "%[1]s/f"
`

func (d *Daemon) externalSocket() string { return filepath.Join(d.Dir, "containerd.sock") }

func (d *Daemon) startContainerd(ctx context.Context) (err error) {
	if !d.External {
		return nil
	}
	if d.containerd != nil && d.containerd.alive() {
		return errors.New("containerd runs already")
	}
	config := filepath.Join(d.Dir, "containerd.toml")
	if err := os.WriteFile(config, fmt.Appendf(nil, containerdTOML, d.Dir), 0o644); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(d.Dir, "f"), 0o711); err != nil {
		return err
	}
	d.containerd, err = startProcess(ctx, d.Dir, filepath.Join(d.Dir, "containerd.log"),
		filepath.Join(d.BinDir, "containerd"), []string{"--config", config}, nil)
	return err
}

// ContainerdSocket is the socket that ctr and containerd's client use, of the embedded
// or the external containerd.
func (d *Daemon) ContainerdSocket() string {
	if d.External {
		return d.externalSocket()
	}
	return d.Configuration.Paths().ContainerdSocket()
}
