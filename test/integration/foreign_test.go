package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/container/ocispec"
	"github.com/berth-run/berth/test/daemon"
	"github.com/berth-run/berth/test/images"
)

// recordShim builds the shim that records what it is given, into a directory.
func recordShim(t *testing.T, dir string) string {
	t.Helper()
	root, err := images.Root()
	if err != nil {
		t.Fatal(err)
	}
	shim := filepath.Join(dir, "recordshim")
	build := exec.Command("go", "build", "-trimpath", "-tags", "osusergo netgo urfave_cli_no_docs", "-o", shim, "./test/recordshim")
	build.Dir, build.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.Mkdir(filepath.Join(dir, "records"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(root, "bin", "containerd-shim-runc-v2"), filepath.Join(dir, "containerd-shim-runc-v2")); err != nil {
		t.Fatal(err)
	}
	return shim
}

// TestForeignShimKnowsThePod looks at what a foreign shim is told: which of its containers is the pod's
// sandbox, where its logs are, and how large it is to be.
func TestForeignShimKnowsThePod(t *testing.T) {
	daemon.Require(t)
	bin, err := daemon.BinDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	d := daemon.Start(t, daemon.Options{Config: fmt.Sprintf(
		"[runtime.handlers.record]\nshim = %q\noptions = { type_url = \"containerd.runc.v1.Options\", binary_name = \"%s/runc\" }\npod_annotations = [\"vm.example.com/*\"]\n", recordShim(t, dir), bin)})
	pod := d.RunPod(t, daemon.WithHandler("record"), daemon.WithPod(func(c *runtimeapi.PodSandboxConfig) {
		c.Annotations = map[string]string{"vm.example.com/kernel": "x", "other": "y"}
		c.Linux.Resources = &runtimeapi.LinuxContainerResources{CpuPeriod: 100000, CpuQuota: 50000, CpuShares: 512, MemoryLimitInBytes: 64 << 20}
	}))
	c := pod.Run(t)
	told := func(id string) map[string]string {
		raw, err := os.ReadFile(filepath.Join(dir, "records", id+".json"))
		if err != nil {
			t.Fatal(err)
		}
		var s specs.Spec
		if err := json.Unmarshal(raw, &s); err != nil {
			t.Fatal(err)
		}
		return s.Annotations
	}
	for id, want := range map[string]map[string]string{
		pod.ID: {
			ocispec.AnnotationContainerType: ocispec.ContainerTypeSandbox, ocispec.AnnotationSandboxLogDir: pod.Config.LogDirectory,
			ocispec.AnnotationSandboxCPUPeriod: "100000", ocispec.AnnotationSandboxCPUQuota: "50000", ocispec.AnnotationSandboxCPUShares: "512",
			ocispec.AnnotationSandboxMemory: "67108864", "vm.example.com/kernel": "x", "other": "",
		},
		c.ID: {ocispec.AnnotationContainerType: ocispec.ContainerTypeContainer, ocispec.AnnotationContainerName: c.Config.Metadata.Name, ocispec.AnnotationSandboxLogDir: ""},
	} {
		got := told(id)
		want[ocispec.AnnotationSandboxID], want[ocispec.AnnotationSandboxName] = pod.ID, pod.Config.Metadata.Name
		for key, value := range want {
			if got[key] != value {
				t.Errorf("%s of %s is %q, want %q", key, id, got[key], value)
			}
		}
	}
}
