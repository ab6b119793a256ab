package metrics

import (
	"context"
	"time"
)

const (
	foreignAge     = 5 * time.Second
	foreignTimeout = 2 * time.Second
	// foreignStale is when a shim's last answer is not shown any more.
	foreignStale = time.Minute
)

// ForeignFunc asks the shim of a container for its figures, for runtime handlers whose
// containers have no cgroups on this host (VMs). It must respect ctx.
type ForeignFunc func(ctx context.Context, containerID string) (Sample, error)

func newForeign(ask ForeignFunc) *background[string, Sample] {
	if ask == nil {
		return nil
	}
	return newBackground(ask, backgroundOptions{
		what: "containers without cgroups", maxAge: foreignAge, parallel: 4, timeout: foreignTimeout, share: 4,
	})
}

// foreign fills in what the shim said last, where the host has no figures. It never
// waits: a shim that hangs costs its own figures only.
func (w *work) foreign(c *containerSample) {
	if !c.ref.Foreign || w.s.foreign == nil || c.CPU != nil || c.Memory != nil {
		return
	}
	s, at := w.s.foreign.Get(c.ref.ID)
	if at.IsZero() || time.Since(at) > foreignStale {
		return
	}
	c.Sample, c.at, c.byShim = s, at, true
	if s.CPU != nil {
		cpu := *s.CPU
		cpu.At = at
		c.CPU = &cpu
	}
}
