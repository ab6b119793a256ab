package handler

import (
	"testing"

	"github.com/containerd/containerd/api/types/runc/options"
	runtimeoptions "github.com/containerd/containerd/api/types/runtimeoptions/v1"

	"github.com/berth-run/berth/config"
)

// TestTaskOptions keeps generic options out of create requests, where containerd takes runc's only, and in
// the container's record, from where the shim gets them.
func TestTaskOptions(t *testing.T) {
	foreign := &Handler{Foreign: true, config: config.Handler{
		Shim: "/bin/containerd-shim-runsc-v1", Options: config.HandlerOptions{TypeURL: "io.containerd.runsc.v1.options", ConfigPath: "/etc/runsc.toml"},
	}}
	if o := foreign.TaskOptions(0, 0); o != nil {
		t.Errorf("a create request gets %v", o)
	}
	if o, ok := foreign.Options(0, 0).(*runtimeoptions.Options); !ok || o.ConfigPath != "/etc/runsc.toml" {
		t.Errorf("the record gets %v", foreign.Options(0, 0))
	}
	if o, ok := (&Handler{}).TaskOptions(1, 2).(*options.Options); !ok || o.IoUid != 1 || o.IoGid != 2 {
		t.Errorf("runc gets %v", o)
	}
}
