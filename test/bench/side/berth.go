package side

import (
	"fmt"
	"os"
	"path/filepath"
)

// berthTOML names the runc that all sides share; everything else is the default.
const berthTOML = `[runtime.handlers.runc]
path = "%s"
`

// externalTOML is a containerd for Berth: what acts by itself, or outside the directory,
// is disabled.
const externalTOML = `version = 4
root = "%[1]s/containerd-root"
state = "%[2]s/containerd"
imports = []
disabled_plugins = [
  "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime", "io.containerd.grpc.v1.cri",
  "io.containerd.nri.v1.nri", "io.containerd.internal.v1.opt", "io.containerd.internal.v1.restart",
  "io.containerd.monitor.container.v1.restart",
]
[plugins.'io.containerd.server.v1.grpc']
  address = "%[2]s/containerd.sock"
[plugins.'io.containerd.server.v1.ttrpc']
  address = "%[2]s/containerd.sock.ttrpc"
[plugins.'io.containerd.shim.v1.manager']
  socket_dir = "%[2]s/f"
`

// newBerth prepares Berth with containerd embedded, or as a process of its own.
func (h *Host) newBerth(s *Side, external bool) error {
	state := filepath.Join(s.Dir, "run")
	s.Socket, s.Debug = filepath.Join(state, "berth.sock"), filepath.Join(state, "debug.sock")
	config := filepath.Join(s.Dir, "berth.toml")
	if err := os.WriteFile(config, fmt.Appendf(nil, berthTOML, h.shared("runc")), 0o644); err != nil {
		return err
	}
	daemon := program{
		path: filepath.Join(s.Dir, "bin", "berthd"), log: filepath.Join(s.Dir, "berthd.log"),
		args: []string{
			"--config", config, "--root", filepath.Join(h.data(s), "root"), "--state", state,
			"--cni-conf-dir", filepath.Join(s.Dir, "cni", "net.d"), "--cni-bin-dir", h.shared("cni"),
			"--registry-config-dir", h.Certs,
		},
	}
	s.Binaries = []string{daemon.path}
	if err := h.copyBinaries(s, "berthd", "berth-shim", "berth-init"); err != nil {
		return err
	}
	if external {
		return h.addExternal(s, daemon)
	}
	s.programs = []program{daemon}
	return nil
}

func (h *Host) addExternal(s *Side, daemon program) error {
	if err := h.copyBinaries(s, "containerd"); err != nil {
		return err
	}
	// Beside the state directory of berthd, which makes its own.
	state, config := filepath.Join(s.Dir, "c"), filepath.Join(s.Dir, "containerd.toml")
	if err := os.MkdirAll(filepath.Join(state, "f"), 0o711); err != nil {
		return err
	}
	if err := os.WriteFile(config, fmt.Appendf(nil, externalTOML, h.data(s), state), 0o644); err != nil {
		return err
	}
	daemon.args = append(daemon.args, "--containerd-address", filepath.Join(state, "containerd.sock"))
	containerd := program{
		path: filepath.Join(s.Dir, "bin", "containerd"), log: filepath.Join(s.Dir, "containerd.log"),
		args: []string{"--config", config},
	}
	s.programs = []program{containerd, daemon}
	s.Binaries = append(s.Binaries, containerd.path)
	return nil
}
