package shim

import "github.com/containerd/containerd/v2/pkg/cio"

// Creator hands the configuration to containerd.Container.NewTask. The cio.IO it returns does no
// I/O: the streams live in the shim.
func Creator(c IOConfig) cio.Creator {
	return func(string) (cio.IO, error) {
		if err := c.Validate(); err != nil {
			return nil, err
		}
		return shimIO{config: cio.Config{Terminal: c.TTY, Stdout: c.URI()}}, nil
	}
}

// shimIO satisfies cio.IO for streams that this process never touches.
type shimIO struct{ config cio.Config }

func (s shimIO) Config() cio.Config { return s.config }
func (s shimIO) Cancel()            {}
func (s shimIO) Wait()              {}
func (s shimIO) Close() error       { return nil }
