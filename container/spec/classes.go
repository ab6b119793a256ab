package spec

import (
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/intel/goresctrl/pkg/blockio"
	"github.com/intel/goresctrl/pkg/rdt"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// classes passes the block-IO and the RDT class on, which annotations of the
// container or the pod name (blockio.resources.beta.kubernetes.io/...,
// rdt.resources.beta.kubernetes.io/...), or else the node's default.
func (b *builder) classes() error {
	name := b.in.Config.GetMetadata().GetName()
	own, pod := b.in.Config.GetAnnotations(), b.in.Sandbox.Config.GetAnnotations()

	class, err := blockio.ContainerClassFromAnnotations(name, own, pod)
	if err != nil {
		return fmt.Errorf("block-IO class: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	if class == "" {
		class = b.in.Defaults.BlockIOClass
	}
	if err := b.blockIO(class); err != nil {
		return err
	}
	if class, err = rdt.ContainerClassFromAnnotations(name, own, pod); err != nil {
		return fmt.Errorf("RDT class: %w: %w", err, errdefs.ErrInvalidArgument)
	}
	if class == "" {
		class = b.in.Defaults.RDTClass
	}
	if class != "" {
		// The OCI runtime joins the class and reports what is wrong with it.
		b.s.Linux.IntelRdt = &specs.LinuxIntelRdt{ClosID: class}
	}
	return nil
}

func (b *builder) blockIO(class string) error {
	if class == "" {
		return nil
	}
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
