package sandbox

import (
	"fmt"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/container/ocispec"
)

// ignored says what of a pod's request is accepted without effect, as containerd and CRI-O accept it.
func (m *Manager) ignored(config *runtimeapi.PodSandboxConfig) []string {
	var out []string
	sc := config.GetLinux().GetSecurityContext()
	if why := ocispec.SELinuxIgnored(sc.GetSelinuxOptions(), m.Host, m.specDefaults()); why != "" {
		out = append(out, why)
	}
	o := sc.GetNamespaceOptions()
	for _, n := range []struct {
		field string
		mode  runtimeapi.NamespaceMode
	}{{"network", o.GetNetwork()}, {"ipc", o.GetIpc()}} {
		if n.mode == runtimeapi.NamespaceMode_CONTAINER || n.mode == runtimeapi.NamespaceMode_TARGET {
			out = append(out, fmt.Sprintf("namespace_options.%s %s counts as POD: containers of a pod share it.", n.field, n.mode))
		}
	}
	if config.GetWindows() != nil {
		out = append(out, "config.windows is ignored on a Linux node.")
	}
	return out
}
