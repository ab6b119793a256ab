package engine

import (
	"context"
	"fmt"
	"strings"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/errdefs"
)

// openExternal dials a containerd that somebody else runs. The dial itself is
// lazy and reconnects for ever, so a restart of that containerd is survived.
func openExternal(ctx context.Context, o Options) (*Engine, error) {
	address := strings.TrimPrefix(o.External, "unix://")
	client, err := containerd.New(address, containerd.WithDefaultNamespace(Namespace), containerd.WithTimeout(startTimeout))
	if err != nil {
		return nil, fmt.Errorf("connect to containerd at %s (is it running, and is the address in [containerd] right?): %w", address, err)
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	serving, err := client.IsServing(ctx)
	if err == nil && !serving {
		err = errdefs.ErrUnavailable
	}
	if err != nil {
		_ = client.Close()
		return nil, fmt.Errorf("containerd at %s does not serve: %w", address, err)
	}
	return &Engine{
		Client:       client,
		Address:      address,
		TTRPCAddress: address + ".ttrpc",
		close:        []func() error{client.Close},
	}, nil
}
