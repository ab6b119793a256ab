package shim

import (
	"testing"

	"github.com/containerd/errdefs"
)

func TestCreator(t *testing.T) {
	c := IOConfig{LogPath: "/l", TTY: true, Stdin: true}
	io, err := Creator(c)("id")
	if err != nil || !io.Config().Terminal || io.Config().Stdout != c.URI() || io.Config().Stdin != "" || io.Config().Stderr != "" {
		t.Errorf("%+v, %v", io, err)
	}
	if _, err := Creator(IOConfig{LogPath: "relative"})("id"); !errdefs.IsInvalidArgument(err) {
		t.Errorf("a bad configuration: %v", err)
	}
}
