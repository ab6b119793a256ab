package faults

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/internal/doctor"
	"github.com/berth-run/berth/test/daemon"
)

// healthy expects berthd doctor to find nothing.
func healthy(t *testing.T, d *daemon.Daemon) {
	t.Helper()
	var found []doctor.Finding
	var err error
	for range 10 { // containerd tidies up after a dead shim in the background
		if found, err = d.Doctor(daemon.Context(t), false); err != nil || len(found) <= len(strangers) {
			break
		}
		time.Sleep(500 * time.Millisecond)
	}
	if err != nil {
		t.Error(err)
	}
	for _, f := range found {
		if !strangers[f.ID] {
			t.Errorf("berthd doctor finds %s", f)
		}
	}
}

// strangers are the IDs of cgroups that were on the host before the tests: of a run that
// was killed, which no test here has to answer for.
var strangers = map[string]bool{}

func noteStrangers() {
	found, _ := filepath.Glob("/sys/fs/cgroup/*/berth/*")
	more, _ := filepath.Glob("/sys/fs/cgroup/berth/*")
	for _, path := range append(found, more...) {
		strangers[filepath.Base(path)] = true
	}
}

// TestDoctor leaves one thing of each kind on the host that no record has, beside a pod
// that runs: doctor finds all of it and nothing else, and removes it.
func TestDoctor(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		pod := d.RunPod(t)
		c := pod.Run(t)
		healthy(t, d)
		want := plant(t, d)
		found, err := d.Doctor(daemon.Context(t), false)
		if err != nil {
			t.Fatal(err)
		}
		names := ""
		for _, f := range found {
			names += f.String() + "\n"
		}
		for _, w := range want {
			if !strings.Contains(names, w) {
				t.Errorf("does not find %s", w)
			}
		}
		if strings.Contains(names, pod.ID) || strings.Contains(names, c.ID) {
			t.Errorf("finds what belongs to a pod:\n%s", names)
		}
		if _, err := d.Doctor(daemon.Context(t), true); err != nil {
			t.Errorf("--fix: %v", err)
		}
		healthy(t, d)
		if got := c.Output(t, "hostname"); got != "berth-test\n" {
			t.Errorf("the pod that runs: hostname %q", got)
		}
		// The daemon sees to the same on its own when it starts; doctor also works then.
		d.Stop(t)
		healthy(t, d)
		d.Start(t)
		pod.Remove(t)
		healthy(t, d)
	})
}

// plant leaves things on the host, and returns what doctor should call them.
func plant(t *testing.T, d *daemon.Daemon) []string {
	t.Helper()
	id := strings.Repeat("fa", 32)
	p := d.Configuration.Paths()
	must := func(err error) { // local
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{p.PodNamespaces(id), p.PodShm(id), p.Container(id), p.ContainerVolumes(id)} {
		must(os.MkdirAll(dir, 0o755))
	}
	must(unix.Mount("shm", p.PodShm(id), "tmpfs", 0, "size=64k"))
	must(os.WriteFile(p.ShimTask(id), nil, 0o600))
	shim := exec.Command(filepath.Join(d.BinDir, "berth-init"))
	shim.Args = []string{"berth-shim", "-id", id}
	shim.Dir = p.Pod(id)
	must(shim.Start())
	t.Cleanup(func() { _, _ = shim.Process.Kill(), shim.Wait() })
	record := filepath.Join(p.CNICache(), "attachments", id+".json")
	must(os.MkdirAll(filepath.Dir(record), 0o755))
	must(os.WriteFile(record, []byte(`{"Version":1,"PodID":"`+id+`"}`), 0o600))
	bridge, err := netlink.LinkByName(d.Configuration.CNI.DefaultNetwork.Bridge)
	must(err)
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "vfault0", MasterIndex: bridge.Attrs().Index}, PeerName: "vfault1"}
	must(netlink.LinkAdd(veth))
	t.Cleanup(func() { _ = netlink.LinkDel(veth) })
	cgroup := filepath.Join("/sys/fs/cgroup/pids/berth", id)
	want := []string{
		"pod directory " + p.Pod(id), "mount " + p.PodShm(id), "container directory " + p.Container(id),
		"container data " + filepath.Dir(p.ContainerVolumes(id)), "shim socket " + p.ShimTask(id),
		"(berth-shim)", "CNI attachment " + record, "veth vfault0",
	}
	others, _ := exec.Command("pgrep", "-c", "-x", "berthd").Output()
	if _, err := os.Stat(filepath.Dir(cgroup)); err == nil && strings.TrimSpace(string(others)) == "1" {
		must(os.Mkdir(cgroup, 0o755))
		t.Cleanup(func() { _ = os.Remove(cgroup) })
		want = append(want, "cgroup /berth/"+id)
	}
	return want
}

// removeAll removes all pods through the CRI.
func removeAll(ctx context.Context, d *daemon.Daemon) error {
	pods, err := d.Runtime.ListPodSandbox(ctx, &runtimeapi.ListPodSandboxRequest{})
	for _, p := range pods.GetItems() {
		if _, rerr := d.Runtime.RemovePodSandbox(ctx, &runtimeapi.RemovePodSandboxRequest{PodSandboxId: p.GetId()}); rerr != nil && err == nil {
			err = rerr
		}
	}
	return err
}
