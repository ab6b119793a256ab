package hostile

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
)

// manyPods are more pods with long annotations than fit into a message of gRPC.
const manyPods = 40

// TestPodsWithMuchMetadata: one tenant's annotations do not keep anybody from listing pods and
// containers, asking for their state and stats, or hearing of events.
func TestPodsWithMuchMetadata(t *testing.T) {
	d := target(t)
	events, err := d.Runtime.GetContainerEvents(t.Context(), &runtimeapi.GetEventsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var last *daemon.Pod
	for range manyPods {
		last = d.RunPod(t, daemon.WithNamespaces(runtimeapi.NamespaceMode_NODE, runtimeapi.NamespaceMode_POD, runtimeapi.NamespaceMode_CONTAINER),
			daemon.WithPod(func(c *runtimeapi.PodSandboxConfig) {
				c.Labels["io.kubernetes.pod.name"] = c.Metadata.Name
				c.Annotations = map[string]string{"long": strings.Repeat("x", 8<<20)}
			}))
	}
	annotate := func(c *runtimeapi.ContainerConfig) {
		c.Annotations = map[string]string{"long": strings.Repeat("x", 4<<20)}
	}
	large := last.RunWith(t, daemon.WithShell("sleep 1000"), annotate)
	awaitEventOf(t, events, last.ID)

	pods, err := d.Runtime.ListPodSandbox(daemon.Context(t), &runtimeapi.ListPodSandboxRequest{})
	if err != nil || len(pods.GetItems()) < manyPods {
		t.Fatalf("%d pods are listed: %v", len(pods.GetItems()), err)
	}
	for _, p := range pods.GetItems() {
		if p.GetLabels()["io.kubernetes.pod.name"] != p.GetMetadata().GetName() {
			t.Errorf("pod %s has lost its label", p.GetMetadata().GetName())
		}
	}
	if _, err := d.Runtime.ListContainers(daemon.Context(t), &runtimeapi.ListContainersRequest{}); err != nil {
		t.Error(err)
	}
	if _, err := d.Runtime.ListPodSandboxStats(daemon.Context(t), &runtimeapi.ListPodSandboxStatsRequest{}); err != nil {
		t.Error(err)
	}
	if _, err := d.Runtime.PodSandboxStatus(daemon.Context(t), &runtimeapi.PodSandboxStatusRequest{PodSandboxId: last.ID}); err != nil {
		t.Error(err)
	}
	if _, err := d.Runtime.ContainerStatus(daemon.Context(t), &runtimeapi.ContainerStatusRequest{ContainerId: large.ID, Verbose: true}); err != nil {
		t.Error(err)
	}
	plainClient(t, d, manyPods)
}

// plainClient lists in parts with the limits that gRPC has of itself.
func plainClient(t *testing.T, d *daemon.Daemon, least int) {
	t.Helper()
	conn, err := grpc.NewClient("unix://"+d.Socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := runtimeapi.NewRuntimeServiceClient(conn)
	pods, err := client.StreamPodSandboxes(daemon.Context(t), &runtimeapi.StreamPodSandboxesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	n := count(t, func() (int, error) { m, err := pods.Recv(); return len(m.GetPodSandboxes()), err })
	stats, err := client.StreamPodSandboxStats(daemon.Context(t), &runtimeapi.StreamPodSandboxStatsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	m := count(t, func() (int, error) { m, err := stats.Recv(); return len(m.GetPodSandboxStats()), err })
	if n < least || m < least {
		t.Errorf("%d pods and stats of %d came in parts, want %d at least", n, m, least)
	}
}

func count(t *testing.T, receive func() (int, error)) (total int) {
	t.Helper()
	for {
		n, err := receive()
		if errors.Is(err, io.EOF) {
			return total
		}
		if err != nil {
			t.Fatal(err)
		}
		total += n
	}
}

// awaitEventOf reads events until one of this pod comes.
func awaitEventOf(t *testing.T, events grpc.ServerStreamingClient[runtimeapi.ContainerEventResponse], podID string) {
	t.Helper()
	ctx, stop := context.WithCancel(daemon.Context(t))
	defer stop()
	found := make(chan error, 1)
	go func() {
		for {
			e, err := events.Recv()
			if err != nil || e.GetPodSandboxStatus().GetId() == podID {
				found <- err
				return
			}
		}
	}()
	select {
	case err := <-found:
		if err != nil {
			t.Fatalf("events: %v", err)
		}
	case <-ctx.Done():
		t.Fatal("no event of the pod came")
	}
}
