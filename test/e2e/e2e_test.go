package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-run/berth/test/images"
	"github.com/berth-run/berth/test/registry"
)

// wait is how long anything may take that a kubelet does in seconds.
const wait = 90 * time.Second

// TestKubelet runs all parts on one kubelet, the pods side by side.
func TestKubelet(t *testing.T) {
	if os.Getenv("BERTH_E2E") == "" {
		t.Skip("needs bin/kubelet, which takes minutes to build; make e2e builds it and runs this")
	}
	root, err := images.Root()
	if err != nil {
		t.Fatal(err)
	}
	r := startRuntime(t, filepath.Join(root, "bin"), certsDir(t))
	k := StartKubelet(t, filepath.Join(root, "bin", "kubelet"), r.socket)
	await(t, k, "the kubelet to be healthy", func(ctx context.Context) error {
		_, err := k.Get(ctx, "/healthz")
		return err
	})
	remove := map[string]func(){}
	for name, manifest := range map[string]string{
		"web": webPod, "unhealthy": unhealthyPod, "crash": crashPod, "oom": oomPod, "done": donePod,
	} {
		manifest = strings.NewReplacer("BUSYBOX", images.Busybox, "NGINX", images.Nginx, "TOOLS", images.Tools).Replace(manifest)
		remove[name] = k.AddPod(t, name, manifest)
	}
	t.Run("Ready", func(t *testing.T) { testReady(t, k) })
	t.Run("HostPort", func(t *testing.T) { testHostPort(t, k) })
	t.Run("Logs", func(t *testing.T) { testLogs(t, k) })
	t.Run("Exec", func(t *testing.T) { testExec(t, k) })
	t.Run("Done", func(t *testing.T) { testDone(t, k) })
	t.Run("Crash", func(t *testing.T) { testCrash(t, k) })
	t.Run("OOM", func(t *testing.T) { testOOM(t, k) })
	t.Run("Unhealthy", func(t *testing.T) { testUnhealthy(t, k) })
	t.Run("Stats", func(t *testing.T) { testStats(t, k) })
	t.Run("EmptyDir", func(t *testing.T) { testEmptyDir(t, k) })
	t.Run("ImageUpdate", func(t *testing.T) { testImageUpdate(t, k) })
	t.Run("RuntimeCrash", func(t *testing.T) { testRuntimeCrash(t, k, r) })
	for _, f := range remove {
		f()
	}
	t.Run("Removal", func(t *testing.T) { testRemoval(t, k, r) })
}

// certsDir starts a registry with the images of the pods.
func certsDir(t *testing.T) string {
	t.Helper()
	reg, err := registry.Start(registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(reg.Close)
	if err := images.PushAll(reg); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := pushReferencePause(reg); err != nil {
		t.Fatal(err)
	}
	if err := reg.WriteHosts(dir, images.Upstreams()...); err != nil {
		t.Fatal(err)
	}
	return dir
}

// await repeats check until it returns nil, and gives up when the kubelet ends or the
// time is over, with the last error. The kubelet tells nobody about changes.
func await(t *testing.T, k *Kubelet, what string, check func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check(ctx)
		if err == nil {
			return
		}
		if ended := k.Running(); ended != nil {
			t.Fatalf("waiting for %s: %v: %v", what, ended, err)
		}
		select {
		case <-ctx.Done():
			t.Fatalf("waited %v for %s: %v", wait, what, err)
		case <-tick.C:
		}
	}
}

// awaitPod repeats check on a pod until it returns "", which otherwise says what is
// missing, and returns the pod.
func awaitPod(t *testing.T, k *Kubelet, name, what string, check func(*Pod) string) *Pod {
	t.Helper()
	var pod *Pod
	await(t, k, fmt.Sprintf("pod %s %s", name, what), func(ctx context.Context) error {
		var err error
		if pod, err = k.Pod(ctx, name); err != nil {
			return err
		}
		if missing := check(pod); missing != "" {
			return fmt.Errorf("%s; its status is %+v", missing, pod.Status)
		}
		return nil
	})
	return pod
}
