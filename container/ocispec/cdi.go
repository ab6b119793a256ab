package ocispec

import (
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"tags.cncf.io/container-device-interface/pkg/cdi"
	"tags.cncf.io/container-device-interface/pkg/parser"
)

// cdi injects CDI devices, those of the CRI field first and then those of
// annotations (cdi.k8s.io/...), each once.
func (b *builder) cdi() error {
	names, err := cdiNames(b.in.Config)
	if err != nil || len(names) == 0 {
		return err
	}
	if b.in.CDI == nil {
		return fmt.Errorf("%s asked for, but CDI is switched off in the configuration (cdi.spec_dirs): %w", strings.Join(names, ", "), errdefs.ErrFailedPrecondition)
	}
	unresolved, err := b.in.CDI.InjectDevices(b.s, names...)
	if len(unresolved) > 0 {
		return fmt.Errorf("no CDI specification on this node has %s: %w", strings.Join(unresolved, ", "), errdefs.ErrNotFound)
	}
	if err != nil {
		return fmt.Errorf("injecting %s: %w", strings.Join(names, ", "), err)
	}
	return nil
}

// cdiNames are the qualified names (vendor.com/class=device) that the request has.
func cdiNames(c *runtimeapi.ContainerConfig) ([]string, error) {
	var names []string
	for _, d := range c.GetCDIDevices() {
		names = append(names, d.GetName())
	}
	_, annotated, err := cdi.ParseAnnotations(c.GetAnnotations())
	if err != nil {
		return nil, fmt.Errorf("CDI annotations: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	var once []string
	seen := map[string]bool{}
	for _, n := range slices.Concat(names, annotated) {
		if _, _, _, err := parser.ParseQualifiedName(n); err != nil {
			return nil, fmt.Errorf("CDI device %q: %w: %w", n, err, errdefs.ErrInvalidArgument)
		}
		if !seen[n] {
			seen[n] = true
			once = append(once, n)
		}
	}
	return once, nil
}
