package config_test

import (
	"strings"
	"testing"

	"github.com/berth-run/berth/config"
	"github.com/berth-run/berth/shim"
)

// The shim derives its paths itself, from what it is started with.
func TestShimAgreesAboutPaths(t *testing.T) {
	id := strings.Repeat("0123456789abcdef", 4)
	p := config.Paths{Root: "/r", State: "/s"}
	task, control, err := shim.SocketPaths(p.State, id)
	if err != nil {
		t.Fatal(err)
	}
	if task != p.ShimTask(id) || control != p.ShimControl(id) || shim.PodDir(p.State, id) != p.Pod(id) {
		t.Errorf("shim has %s, %s, %s; config has %s, %s, %s",
			task, control, shim.PodDir(p.State, id), p.ShimTask(id), p.ShimControl(id), p.Pod(id))
	}
}
