package faults

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
)

func removeLink(name string) {
	if l, err := netlink.LinkByName(name); err == nil {
		_ = netlink.LinkDel(l)
	}
}

// owed is the number of CNI DELs in the background queue, as the node's status tells.
func owed(t *testing.T, d *daemon.Daemon) int {
	t.Helper()
	return len(debts(t, d))
}

// debt is an entry of cniDetach in the verbose status.
type debt struct {
	PodID, Name, Namespace, LastError string
	Since                             time.Time
	Plugins                           []string
	Attempts                          int
}

func debts(t *testing.T, d *daemon.Daemon) []debt {
	t.Helper()
	resp, err := d.Runtime.Status(daemon.Context(t), &runtimeapi.StatusRequest{Verbose: true})
	if err != nil {
		t.Fatal(err)
	}
	var queue struct{ Items []debt }
	if err := json.Unmarshal([]byte(resp.GetInfo()["cniDetach"]), &queue); err != nil {
		t.Fatal(err)
	}
	return queue.Items
}

func podCount(t *testing.T, d *daemon.Daemon) int {
	t.Helper()
	pods, err := d.Runtime.ListPodSandbox(daemon.Context(t), &runtimeapi.ListPodSandboxRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return len(pods.GetItems())
}

// TestPluginFailsAdd: the pod is refused with what the plugin says, nothing of it stays,
// and the same request succeeds once the plugin does.
func TestPluginFailsAdd(t *testing.T) {
	d := launchFaultyNetwork(t, daemon.Options{})
	d.CheckLeaks(t)
	request := d.PodRequest(t)
	for _, way := range []string{"fail", "hang"} {
		d.order(t, "ADD "+way)
		begin := time.Now()
		_, err := d.Runtime.RunPodSandbox(daemon.Context(t), request)
		if err == nil {
			t.Fatalf("ADD %s: the pod runs", way)
		}
		if way == "fail" && !strings.Contains(err.Error(), "told to fail") {
			t.Errorf("does not tell what the plugin said: %v", err)
		}
		if way == "hang" && (status.Code(err) != codes.DeadlineExceeded || time.Since(begin) > 10*time.Second) {
			t.Errorf("a plugin that hangs: after %s: %v", time.Since(begin), err)
		}
		if n := podCount(t, d.Daemon); n != 0 {
			t.Errorf("ADD %s: %d pods are listed", way, n)
		}
	}
	d.order(t)
	d.RunPodRequest(t, request)
}

// TestPluginFailsBoth: ADD fails, and so does the DEL that undoes it. The name is free all
// the same, and the DEL is made up for.
func TestPluginFailsBoth(t *testing.T) {
	d := launchFaultyNetwork(t, daemon.Options{})
	d.CheckLeaks(t)
	request := d.PodRequest(t)
	d.order(t, "ADD fail", "DEL fail")
	for range 3 {
		if _, err := d.Runtime.RunPodSandbox(daemon.Context(t), request); err == nil || status.Code(err) == codes.AlreadyExists {
			t.Fatalf("with a network that fails: %v", err)
		}
	}
	if n := owed(t, d.Daemon); n != 3 {
		t.Errorf("%d DELs are owed, should be 3", n)
	}
	if n := podCount(t, d.Daemon); n != 0 {
		t.Errorf("%d pods are listed", n)
	}
	d.order(t)
	d.RunPodRequest(t, request)
	daemon.Eventually(t, "all DELs done", func() bool { return owed(t, d.Daemon) == 0 })
}

// TestPluginFailsDel: a pod goes although its DEL fails, or hangs. The DEL is repeated in
// the background, also by the next daemon, until it succeeds.
func TestPluginFailsDel(t *testing.T) {
	for _, way := range []string{"fail", "hang"} {
		t.Run(way, func(t *testing.T) {
			d := launchFaultyNetwork(t, daemon.Options{})
			d.CheckLeaks(t)
			pod := d.RunPod(t)
			pod.Run(t)
			d.order(t, "DEL "+way)
			pod.Remove(t)
			if n := podCount(t, d.Daemon); n != 0 {
				t.Errorf("%d pods are listed", n)
			}
			if n := owed(t, d.Daemon); n != 1 {
				t.Errorf("%d DELs are owed, should be 1", n)
			}
			// The same pod again is not in the way of the DEL, nor the other way round.
			d.order(t, "DEL "+way)
			again := d.RunPodRequest(t, &runtimeapi.RunPodSandboxRequest{Config: pod.Config})
			for _, restart := range []func(testing.TB){d.Kill, d.Stop} {
				restart(t)
				d.Start(t)
				if n := owed(t, d.Daemon); n != 1 {
					t.Errorf("after a restart %d DELs are owed, should be 1", n)
				}
			}
			healthy(t, d.Daemon)
			d.order(t)
			daemon.Eventually(t, "the DEL done", func() bool { return owed(t, d.Daemon) == 0 })
			again.Remove(t)
			d.Kill(t)
			d.Start(t)
			if n := owed(t, d.Daemon); n != 0 {
				t.Errorf("the record of the DEL stays: %d are owed after a restart", n)
			}
			if left, _ := filepath.Glob(filepath.Join(filepath.Dir(d.orders), "ipam", "faulty", "10.*")); len(left) > 0 {
				t.Errorf("addresses stay: %v", left)
			}
			healthy(t, d.Daemon)
		})
	}
}

// TestStaleAttachment: an attachment that no pod has is collected at the next start.
func TestStaleAttachment(t *testing.T) {
	d := launch(t, daemon.Options{})
	d.CheckLeaks(t)
	pod := d.RunPod(t)
	addresses := filepath.Join(d.Configuration.Paths().CNIAddresses(), "berth")
	stale := filepath.Join(addresses, "10.255.255.254")
	d.Kill(t)
	if err := os.WriteFile(stale, []byte(strings.Repeat("ab", 32)+"\r\neth0"), 0o644); err != nil {
		t.Fatal(err)
	}
	d.Start(t)
	daemon.Eventually(t, "collected: "+stale, func() bool { _, err := os.Stat(stale); return os.IsNotExist(err) })
	if pod.IP(t) == "" {
		t.Error("the pod has lost its address")
	}
}

// TestPluginHangsOthers: pods on the host's network, one of which may be what repairs the network,
// do not wait for pods whose plugin hangs.
func TestPluginHangsOthers(t *testing.T) {
	d := launchFaultyNetwork(t, daemon.Options{Config: "[pod]\nmax_concurrent_starts = 1\n"})
	d.CheckLeaks(t)
	d.order(t, "ADD hang")
	hung := make(chan error, 1)
	request := d.PodRequest(t)
	go func() {
		_, err := d.Runtime.RunPodSandbox(background(), request)
		hung <- err
	}()
	pods := filepath.Join(d.Configuration.State, "pods", "*")
	daemon.Eventually(t, "the pod is being started", func() bool { all, _ := filepath.Glob(pods); return len(all) > 0 })
	d.RunPod(t, daemon.WithNamespaces(runtimeapi.NamespaceMode_NODE, runtimeapi.NamespaceMode_POD, runtimeapi.NamespaceMode_CONTAINER))
	select {
	case err := <-hung:
		t.Errorf("the pod whose plugin hangs came first: %v", err)
	default:
		if err := <-hung; err == nil {
			t.Error("the pod whose plugin hangs runs")
		}
	}
	d.order(t)
}
