package integration

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"testing"

	utilversion "k8s.io/apimachinery/pkg/util/version"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
	"github.com/berth-run/berth/test/images"
)

// TestVerbose: what crictl prints of verbose answers is JSON all through, with no JSON in texts.
func TestVerbose(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		v, err := d.Runtime.Version(daemon.Context(t), &runtimeapi.VersionRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := utilversion.ParseSemantic(v.GetRuntimeVersion()); err != nil {
			t.Errorf("the runtime's version: %v", err)
		}
		pod := d.RunPod(t)
		c := pod.Run(t)
		info := crictl(t, d, "info")
		if _, ok := at(info, "config", "image").(map[string]any); !ok {
			t.Errorf("config.image is %v", at(info, "config", "image"))
		}
		for _, path := range [][]string{{"config", "root"}, {"configSources", "root"}, {"version", "berthd", "version"}} {
			if s, ok := at(info, path...).(string); !ok || s == "" {
				t.Errorf("%v of the node is %v", path, at(info, path...))
			}
		}
		for _, list := range []string{"warnings", "pulls"} {
			if _, ok := at(info, list).(map[string]any); !ok {
				t.Errorf("%s is %v", list, at(info, list))
			}
		}
		if got := at(crictl(t, d, "inspect", c.ID), "info", "phase"); got != "running" {
			t.Errorf("the phase of a running container is %v", got)
		}
		if got := at(crictl(t, d, "inspectp", pod.ID), "info", "config", "metadata", "name"); got != pod.Config.Metadata.Name {
			t.Errorf("the pod's name is %v", got)
		}
		if _, ok := at(crictl(t, d, "inspecti", images.Busybox), "info", "imageSpec", "rootfs").(map[string]any); !ok {
			t.Error("the image has no configuration")
		}
		c.Stop(t, 0)
		c.WaitExited(t)
		if got := at(crictl(t, d, "inspect", c.ID), "info", "phase"); got != "exited" {
			t.Errorf("the phase of a container that has ended is %v", got)
		}
	})
}

// crictl runs crictl and decodes what it prints.
func crictl(t *testing.T, d *daemon.Daemon, args ...string) (out map[string]any) {
	t.Helper()
	bin, err := daemon.BinDir()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := exec.Command(filepath.Join(bin, "crictl"), append([]string{"--runtime-endpoint", "unix://" + d.Socket}, args...)...).Output()
	if err != nil {
		t.Fatalf("crictl %v: %v", args, err)
	}
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatalf("crictl %v printed %.200s: %v", args, raw, err)
	}
	return out
}

// at is what an object has at a path, nil for nothing.
func at(object any, path ...string) any {
	for _, key := range path {
		m, _ := object.(map[string]any)
		object = m[key]
	}
	return object
}
