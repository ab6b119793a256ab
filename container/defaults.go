package container

import (
	"fmt"
	"sort"
	"strings"

	"github.com/intel/goresctrl/pkg/blockio"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/berth-run/berth/config"
	"github.com/berth-run/berth/container/ocispec"
)

// ulimits puts the configured resource limits into OCI's words, in a fixed order.
func ulimits(in map[string]config.Ulimit) []specs.POSIXRlimit {
	out := make([]specs.POSIXRlimit, 0, len(in))
	for name, u := range in {
		out = append(out, specs.POSIXRlimit{Type: "RLIMIT_" + strings.ToUpper(name), Soft: u.Soft, Hard: u.Hard})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Type < out[j].Type })
	return out
}

// LoadBlockIO reads the block-IO classes that containers may ask for into memory. Nothing happens with
// an empty name.
func LoadBlockIO(file string) error {
	if file == "" {
		return nil
	}
	if err := blockio.SetConfigFromFile(file, true); err != nil {
		return fmt.Errorf("block-IO classes: %w", err)
	}
	return nil
}

// specDefaults are the node-wide settings of OCI specs.
func (m *Manager) specDefaults() ocispec.Defaults {
	d := ocispec.Defaults{
		DeviceOwnershipFromSecurityContext: m.Config.Container.DeviceOwnershipFromSecurityContext,
		RefuseMissingHugetlb:               !m.Config.Container.TolerateMissingHugetlb,
		DisableAppArmor:                    m.Config.Security.DisableAppArmor,
		DisableSELinux:                     !m.Config.Security.EnableSELinux,
		Capabilities:                       []string{}, // an empty list of the configuration is none
		EnableRDT:                          m.Config.Container.EnableRDT,
		Ulimits:                            ulimits(m.Config.Container.Ulimits),
	}
	if m.Config.Security.UnsetSeccompProfile == "runtime/default" {
		d.Seccomp = ocispec.SeccompRuntimeDefault
	}
	if file, local := strings.CutPrefix(m.Config.Security.UnsetSeccompProfile, "localhost/"); local {
		d.SeccompFile = file
	}
	for _, name := range m.Config.Security.DefaultCapabilities {
		d.Capabilities = append(d.Capabilities, config.CapabilityName(name))
	}
	if file := m.Config.Container.BlockIOConfigFile; file != "" {
		d.BlockIO = blockio.OciLinuxBlockIO
	}
	return d
}
