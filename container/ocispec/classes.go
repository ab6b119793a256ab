package ocispec

import (
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/intel/goresctrl/pkg/kubernetes"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// classAnnotations are where a class is looked for: an annotation of the
// container, of the pod for one container, of the pod for all of them.
type classAnnotations struct {
	container, podContainer, pod string
}

var (
	blockIOAnnotations = classAnnotations{
		container:    "io.kubernetes.cri.blockio-class",
		podContainer: "blockio.resources.beta.kubernetes.io/container.",
		pod:          "blockio.resources.beta.kubernetes.io/pod",
	}
	rdtAnnotations = classAnnotations{
		container:    "io.kubernetes.cri.rdt-class",
		podContainer: "rdt.resources.beta.kubernetes.io/container.",
		pod:          "rdt.resources.beta.kubernetes.io/pod",
	}
)

// class is the class that annotations name, or the node's default.
func (b *builder) class(a classAnnotations, byDefault string) string {
	class, origin := kubernetes.ContainerClassFromAnnotations(a.container, a.pod, a.podContainer,
		b.in.Config.GetMetadata().GetName(), b.in.Config.GetAnnotations(), b.in.Sandbox.Config.GetAnnotations())
	if origin == kubernetes.ClassOriginNotFound {
		return byDefault
	}
	return class
}

// classes passes the block-IO and the RDT class on. A pod's annotation names the class of its containers;
// its own process has none.
func (b *builder) classes() error {
	if b.in.podProcess {
		return nil
	}
	if class := b.class(blockIOAnnotations, b.in.Defaults.BlockIOClass); class != "" {
		if err := b.blockIO(class); err != nil {
			return err
		}
	}
	if class := b.class(rdtAnnotations, b.in.Defaults.RDTClass); class != "" {
		if !b.in.Defaults.EnableRDT && class != b.in.Defaults.RDTClass {
			return fmt.Errorf("RDT class %q asked for, but this node lets no pod choose its class; set container.enable_rdt to allow it: %w", class, errdefs.ErrFailedPrecondition)
		}
		if !b.in.Host.Resctrl {
			return fmt.Errorf("RDT class %q asked for, but this node has no resctrl filesystem mounted: %w", class, errdefs.ErrFailedPrecondition)
		}
		b.s.Linux.IntelRdt = &specs.LinuxIntelRdt{ClosID: class}
	}
	return nil
}

// blockIO sets what the class stands for on this node.
func (b *builder) blockIO(class string) error {
	if b.in.Defaults.BlockIO == nil {
		return fmt.Errorf("block-IO class %q asked for, but this node has no block-IO configuration: %w", class, errdefs.ErrFailedPrecondition)
	}
	parameters, err := b.in.Defaults.BlockIO(class)
	if err != nil {
		return fmt.Errorf("block-IO class %q: %w: %w", class, err, errdefs.ErrInvalidArgument)
	}
	b.s.Linux.Resources.BlockIO = parameters
	return nil
}
