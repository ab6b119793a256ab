package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
)

// networkReady is the condition of Status.
func networkReady(t *testing.T, d *daemon.Daemon) *runtimeapi.RuntimeCondition {
	t.Helper()
	resp, err := d.Runtime.Status(daemon.Context(t), &runtimeapi.StatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range resp.GetStatus().GetConditions() {
		if c.GetType() == runtimeapi.NetworkReady {
			return c
		}
	}
	t.Fatal("Status has no NetworkReady")
	return nil
}

// conflist writes a configuration of the daemon's bridge, with one more plugin after it.
func conflist(t *testing.T, d *daemon.Daemon, name, plugin string) (path string) {
	t.Helper()
	n := d.Configuration.CNI.DefaultNetwork
	if plugin != "" {
		plugin = fmt.Sprintf(`, {"type": %q}`, plugin)
	}
	text := fmt.Sprintf(`{"cniVersion": "1.0.0", "name": %q, "plugins": [
		{"type": "bridge", "bridge": %q, "isGateway": true, "ipMasq": true, "ipam": {"type": "host-local", "dataDir": %q,
		 "ranges": [[{"subnet": %q}]], "routes": [{"dst": "0.0.0.0/0"}]}}%s]}`,
		name, n.Bridge, d.Configuration.Paths().CNIAddresses(), n.Subnets[0], plugin)
	dir := d.Configuration.CNI.ConfDir
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(dir, name+".conflist")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestNetworkConfiguration breaks the configuration, mends it, and takes it away, while
// berthd runs.
func TestNetworkConfiguration(t *testing.T) {
	own(t, daemon.Options{}, func(t *testing.T, d *daemon.Daemon) {
		if c := networkReady(t, d); !c.GetStatus() {
			t.Fatalf("without a configuration: %v", c)
		}
		old := d.RunPod(t)
		path := conflist(t, d, "10-own", "")
		daemon.Eventually(t, "in use: the configuration of the directory", func() bool {
			return strings.Contains(networkReady(t, d).GetMessage(), "10-own")
		})
		pod := d.RunPod(t)
		if ip := pod.IP(t); ip == "" || len(pod.Status(t).GetNetwork().GetAdditionalIps()) != 0 {
			t.Errorf("addresses of a pod of the new network: %v", pod.Status(t).GetNetwork())
		}
		if err := os.WriteFile(path, []byte(`{"cniVersion": "1.0.0", "name": "10-own", "plugins": [`), 0o644); err != nil {
			t.Fatal(err)
		}
		daemon.Eventually(t, "not ready: a broken configuration", func() bool { return !networkReady(t, d).GetStatus() })
		if c := networkReady(t, d); c.GetReason() == "" || !strings.Contains(c.GetMessage(), path) {
			t.Errorf("a broken configuration: %v", c)
		}
		_, err := d.Runtime.RunPodSandbox(daemon.Context(t), d.PodRequest(t))
		wantCode(t, err, codes.Unavailable, path)
		d.RunPod(t, daemon.WithNamespaces(runtimeapi.NamespaceMode_NODE, runtimeapi.NamespaceMode_POD, runtimeapi.NamespaceMode_CONTAINER)).Run(t)
		pod.Remove(t) // by what was recorded when it was attached
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		daemon.Eventually(t, "ready again: the built-in network", func() bool { return networkReady(t, d).GetStatus() })
		old.Remove(t)
		d.RunPod(t)
	})
}

// flaky is a plugin that passes on the result of the one before it, and fails or waits where a
// file says so.
const flaky = `#!/bin/sh
input=$(cat)
case $CNI_COMMAND in
VERSION) echo '{"cniVersion": "1.0.0", "supportedVersions": ["0.4.0", "1.0.0"]}'; exit;;
ADD|DEL)
	while [ -e %[1]s/hold-$CNI_COMMAND ]; do sleep 0.05; done
	if [ -e %[1]s/fail-$CNI_COMMAND ]; then
		echo '{"cniVersion": "1.0.0", "code": 11, "msg": "flaky '$CNI_COMMAND'"}'
		exit 1
	fi;;
esac
if [ "$CNI_COMMAND" = ADD ]; then
	echo "$input" | sed 's/.*"prevResult"://; s/,"type":"flaky".*//'
fi
`

// TestSlowPlugin: a caller whose deadline passes reads what is under way, and the same request again joins it.
func TestSlowPlugin(t *testing.T) {
	daemon.Require(t)
	bin, err := daemon.BinDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "flaky"), fmt.Appendf(nil, flaky, dir), 0o755); err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf("[cni]\nbin_dirs = [%q, %q]\n", dir, filepath.Join(bin, "cni"))
	own(t, daemon.Options{Config: config}, func(t *testing.T, d *daemon.Daemon) {
		conf := conflist(t, d, "10-flaky", "flaky")
		t.Cleanup(func() { os.Remove(conf) })
		daemon.Eventually(t, "in use: the configuration", func() bool { return strings.Contains(networkReady(t, d).GetMessage(), "10-flaky") })
		hold := filepath.Join(dir, "hold-ADD")
		touch(t, hold)
		t.Cleanup(func() { os.Remove(hold) })
		r := d.PodRequest(t)
		impatient, cancel := context.WithTimeout(daemon.Context(t), 2*time.Second)
		defer cancel()
		_, err := d.Runtime.RunPodSandbox(impatient, r)
		wantCode(t, err, codes.DeadlineExceeded, "is still under way", `stage "network"`, r.GetConfig().GetMetadata().GetName(), "the same request again joins it")
		os.Remove(hold)
		resp, err := d.Runtime.RunPodSandbox(daemon.Context(t), r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Runtime.RemovePodSandbox(daemon.Context(t), &runtimeapi.RemovePodSandboxRequest{PodSandboxId: resp.GetPodSandboxId()}); err != nil {
			t.Error(err)
		}
	})
}

// TestFailingPlugins has a plugin fail for ADD, and for DEL across a restart.
func TestFailingPlugins(t *testing.T) {
	daemon.Require(t)
	bin, err := daemon.BinDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "flaky"), fmt.Appendf(nil, flaky, dir), 0o755); err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf("[cni]\nbin_dirs = [%q, %q]\ndel_retry_max = \"1s\"\n", dir, filepath.Join(bin, "cni"))
	own(t, daemon.Options{Config: config}, func(t *testing.T, d *daemon.Daemon) {
		conf := conflist(t, d, "10-flaky", "flaky")
		t.Cleanup(func() { os.Remove(conf) })
		daemon.Eventually(t, "in use: the configuration", func() bool { return strings.Contains(networkReady(t, d).GetMessage(), "10-flaky") })
		fail := func(verb string) (mend func()) {
			file := filepath.Join(dir, "fail-"+verb)
			touch(t, file)
			t.Cleanup(func() { os.Remove(file) })
			return func() { os.Remove(file) }
		}
		before := d.Snapshot(t)
		mend := fail("ADD")
		_, err := d.Runtime.RunPodSandbox(daemon.Context(t), d.PodRequest(t))
		wantCode(t, err, codes.Unavailable, "flaky ADD")
		if pods := listPods(t, d); len(pods) != 0 {
			t.Errorf("pods after a failed ADD: %v", pods)
		}
		mend()
		d.AwaitAsBefore(t, before)

		for _, restart := range []bool{false, true} {
			mend = fail("DEL")
			pod := d.RunPod(t)
			address := filepath.Join(d.Configuration.Paths().CNIAddresses(), "10-flaky", pod.IP(t))
			if _, err := os.Stat(address); err != nil {
				t.Fatal(err)
			}
			pod.Remove(t)
			if pods := listPods(t, d); len(pods) != 0 {
				t.Errorf("pods after the removal: %v", pods)
			}
			if _, err := os.Stat(address); err != nil {
				t.Errorf("the failing DEL has given back the address: %v", err)
			}
			if restart {
				d.Kill(t)
				mend()
				d.Start(t)
			}
			mend()
			daemon.Eventually(t, "given back: the address, by a later DEL", func() bool {
				_, err := os.Stat(address)
				return os.IsNotExist(err)
			})
		}
	})
}
