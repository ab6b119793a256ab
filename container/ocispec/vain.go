package ocispec

import runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

// vain notes what containerd and CRI-O accept and ignore, and what is ignored here too.
func (b *builder) vain() error {
	if b.in.Config.GetWindows() != nil {
		b.warn("config.windows is ignored on a Linux node.")
	}
	if b.sc.GetRunAsUser() != nil && b.sc.GetRunAsUsername() != "" {
		b.warn("run_as_user is ignored beside run_as_username.")
	}
	o := b.sc.GetNamespaceOptions()
	for _, n := range []struct {
		field string
		mode  runtimeapi.NamespaceMode
	}{{"network", o.GetNetwork()}, {"ipc", o.GetIpc()}} {
		if n.mode == runtimeapi.NamespaceMode_CONTAINER || n.mode == runtimeapi.NamespaceMode_TARGET {
			b.warn("namespace_options.%s %s is ignored: a container shares the pod's.", n.field, n.mode)
		}
	}
	return nil
}
