package side

import (
	"fmt"
	"os"
	"path/filepath"
)

// containerdTOML is containerd with its CRI plugin. What is not its default: paths; NRI
// off, which would listen outside the directory; and restrict_oom_score_adj, without which
// nothing runs on a machine that lacks CAP_SYS_RESOURCE.
const containerdTOML = `version = 4
root = "%[1]s/root"
state = "%[2]s"
imports = []
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.monitor.container.v1.restart"]

[plugins.'io.containerd.server.v1.grpc']
  address = "%[2]s/containerd.sock"
[plugins.'io.containerd.server.v1.ttrpc']
  address = "%[2]s/containerd.sock.ttrpc"
[plugins.'io.containerd.shim.v1.manager']
  socket_dir = "%[2]s/s"
[plugins.'io.containerd.nri.v1.nri']
  disable = true
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "%[3]s"
[plugins.'io.containerd.cri.v1.images'.registry]
  config_path = "%[4]s"
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  stats_collect_period = "%[5]s"
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ["%[6]s"]
  conf_dir = "%[7]s/cni/net.d"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
  runtime_path = "%[7]s/bin/containerd-shim-runc-v2"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
  BinaryName = "%[8]s"
  Root = "%[2]s/runc"
`

// Periods of containerd's stats collector: its default of a second, and one that does
// not come round while the benchmark runs, as it has no switch.
const (
	collectorOn  = ""
	collectorOff = "24h"
)

func (h *Host) newContainerd(s *Side) error {
	s.Socket = filepath.Join(s.Dir, "run", "containerd.sock")
	if err := os.MkdirAll(filepath.Join(s.Dir, "run", "s"), 0o711); err != nil {
		return err
	}
	if err := h.copyBinaries(s, "containerd", "containerd-shim-runc-v2"); err != nil {
		return err
	}
	containerd := program{
		path: filepath.Join(s.Dir, "bin", "containerd"), log: filepath.Join(s.Dir, "containerd.log"),
		args: []string{"--config", filepath.Join(s.Dir, "containerd.toml")},
	}
	s.programs, s.Binaries = []program{containerd}, []string{containerd.path}
	return h.writeContainerdConfig(s, collectorOn)
}

func (h *Host) writeContainerdConfig(s *Side, collector string) error {
	config := fmt.Appendf(nil, containerdTOML, h.data(s), filepath.Join(s.Dir, "run"), PauseImage, h.Certs,
		collector, h.shared("cni"), s.Dir, h.shared("runc"))
	return os.WriteFile(filepath.Join(s.Dir, "containerd.toml"), config, 0o644)
}

// SetCollector switches the stats collector of containerd's CRI plugin from the side's
// next start on. Other sides have no such switch, and nothing happens.
func (h *Host) SetCollector(s *Side, on bool) error {
	if s.Name != Containerd {
		return nil
	}
	if on {
		return h.writeContainerdConfig(s, collectorOn)
	}
	return h.writeContainerdConfig(s, collectorOff)
}
