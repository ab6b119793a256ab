package engine

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/errdefs"
	"k8s.io/klog/v2"
)

// openExternal dials a containerd that somebody else runs. The dial itself is
// lazy and reconnects for ever, so a restart of that containerd is survived.
func openExternal(ctx context.Context, o Options) (*Engine, error) {
	address := strings.TrimPrefix(o.External, "unix://")
	if _, err := os.Stat(address); err != nil {
		klog.FromContext(ctx).Info("Waiting for containerd", "address", address, "reason", err.Error(), "atMost", o.ConnectTimeout)
	}
	client, err := containerd.New(address, containerd.WithDefaultNamespace(Namespace), containerd.WithTimeout(o.ConnectTimeout))
	if err != nil {
		return nil, fmt.Errorf("connect to containerd at %s (is it running, and is the address in [containerd] right?): %w", address, err)
	}
	ctx, cancel := context.WithTimeout(ctx, o.ConnectTimeout)
	defer cancel()
	serving, err := client.IsServing(ctx)
	if err == nil && !serving {
		err = errdefs.ErrUnavailable
	}
	if err != nil {
		_ = client.Close()
		if _, serr := os.Stat(address); serr != nil {
			err = fmt.Errorf("%w: %w", serr, err)
		}
		return nil, fmt.Errorf("containerd at %s (is it running, and is the address in [containerd] right?) does not serve: %w", address, err)
	}
	e := &Engine{
		Client:       client,
		Address:      address,
		TTRPCAddress: address + ".ttrpc",
		close:        []func() error{client.Close},
	}
	watch, stop := context.WithCancel(context.WithoutCancel(ctx))
	e.close = append(e.close, func() error { stop(); return nil })
	go e.watchHealth(watch)
	return e, e.ensureNamespace(watch)
}

// healthInterval is how often an external containerd is asked whether it serves.
const healthInterval = 5 * time.Second

// watchHealth asks the external containerd again and again, so that Ready answers
// from memory.
func (e *Engine) watchHealth(ctx context.Context) {
	ticker := time.NewTicker(healthInterval)
	defer ticker.Stop()
	for {
		check, cancel := context.WithTimeout(ctx, healthInterval)
		serving, err := e.Client.IsServing(check)
		cancel()
		if err == nil && !serving {
			err = errdefs.ErrUnavailable
		}
		if err != nil {
			err = fmt.Errorf("containerd at %s does not answer: %w", e.Address, err)
		}
		e.health.Store(&err)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}
