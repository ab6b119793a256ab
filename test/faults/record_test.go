package faults

import (
	"bytes"
	"context"
	"os"
	"testing"
	"time"

	store "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	api "github.com/containerd/containerd/v2/core/sandbox"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/typeurl/v2"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/berth-run/berth/test/daemon"
)

// TestNewerRecord: what a newer daemon has recorded is not listed, and not touched; the
// newer daemon finds it running.
func TestNewerRecord(t *testing.T) {
	either(t, func(t *testing.T, d *daemon.Daemon) {
		d.CheckLeaks(t)
		pod := d.RunPod(t)
		c := pod.Run(t)
		pid, netns := d.PIDOf(t, c.ID), d.Configuration.Paths().PodNetNS(pod.ID)
		rewrite(t, d, pod.ID, c.ID, `"version":`, `"version":9`)
		d.Kill(t)
		d.Start(t)
		if n := podCount(t, d); n != 0 {
			t.Errorf("%d pods are listed", n)
		}
		time.Sleep(2 * time.Second) // for the collection of stale network attachments
		if err := unix.Kill(pid, 0); err != nil {
			t.Errorf("its container: %v", err)
		}
		if _, err := os.Stat(netns); err != nil {
			t.Error(err)
		}
		healthy(t, d)
		rewrite(t, d, pod.ID, c.ID, `"version":9`, `"version":`)
		d.Kill(t)
		d.Start(t)
		if got := c.Output(t, "ip addr show dev eth0 | grep -c 'inet '"); got != "1\n" {
			t.Errorf("addresses after all that: %q", got)
		}
	})
}

// rewrite changes the records of a pod and a container in containerd's store.
func rewrite(t *testing.T, d *daemon.Daemon, podID, ctrID, from, to string) {
	t.Helper()
	db, err := store.New(d.ContainerdSocket())
	must(t, err)
	defer db.Close()
	ctx := namespaces.WithNamespace(context.Background(), "k8s.io")
	changed := func(in map[string]typeurl.Any) map[string]typeurl.Any {
		out := map[string]typeurl.Any{}
		for key, any := range in {
			out[key] = &anypb.Any{TypeUrl: any.GetTypeUrl(), Value: bytes.Replace(any.GetValue(), []byte(from), []byte(to), 1)}
		}
		return out
	}
	s, err := db.SandboxStore().Get(ctx, podID)
	must(t, err)
	_, err = db.SandboxStore().Update(ctx, api.Sandbox{ID: podID, Extensions: changed(s.Extensions)}, "extensions.berth.sandbox")
	must(t, err)
	r, err := db.ContainerService().Get(ctx, ctrID)
	must(t, err)
	_, err = db.ContainerService().Update(ctx, containers.Container{ID: ctrID, Extensions: changed(r.Extensions)}, "extensions.berth.container")
	must(t, err)
}
