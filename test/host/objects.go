package host

import (
	"context"
	"fmt"
	"strings"

	"github.com/containerd/containerd/api/services/tasks/v1"
	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// namespace of Kubernetes in containerd.
const namespace = "k8s.io"

// snapshotters that may hold something.
var snapshotters = []string{"overlayfs", "native"}

// objects counts what containerd has: everything but images, their content and their
// snapshots.
func objects(ctx context.Context, scope Scope, s Snapshot) error {
	if scope.Containerd == "" {
		return nil
	}
	conn, err := grpc.NewClient("unix://"+scope.Containerd, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	client, err := containerd.NewWithConn(conn, containerd.WithDefaultNamespace(namespace))
	if err != nil {
		return err
	}
	ctx = namespaces.WithNamespace(ctx, namespace)
	for kind, list := range map[string]func(context.Context, *containerd.Client, Snapshot) error{
		"containers": listContainers, "sandboxes": listSandboxes, "tasks": listTasks,
		"leases": listLeases, "snapshots": listSnapshots, "ingests": listIngests,
	} {
		if err := list(ctx, client, s); err != nil {
			return fmt.Errorf("listing containerd's %s: %w", kind, err)
		}
	}
	return nil
}

func listContainers(ctx context.Context, client *containerd.Client, s Snapshot) error {
	all, err := client.ContainerService().List(ctx)
	for _, c := range all {
		s.add("container", "%s", c.ID)
	}
	return err
}

func listSandboxes(ctx context.Context, client *containerd.Client, s Snapshot) error {
	all, err := client.SandboxStore().List(ctx)
	for _, sandbox := range all {
		s.add("sandbox", "%s", sandbox.ID)
	}
	return err
}

func listTasks(ctx context.Context, client *containerd.Client, s Snapshot) error {
	all, err := client.TaskService().List(ctx, &tasks.ListTasksRequest{})
	for _, task := range all.GetTasks() {
		s.add("task", "%s", task.GetID())
	}
	return err
}

func listLeases(ctx context.Context, client *containerd.Client, s Snapshot) error {
	all, err := client.LeasesService().List(ctx)
	for _, lease := range all {
		s.add("lease", "%s %v", lease.ID, lease.Labels)
	}
	return err
}

// listSnapshots leaves out layers of images: committed, and named by their chain ID.
func listSnapshots(ctx context.Context, client *containerd.Client, s Snapshot) error {
	for _, name := range snapshotters {
		err := client.SnapshotService(name).Walk(ctx, func(_ context.Context, info snapshots.Info) error {
			if info.Kind != snapshots.KindCommitted || !strings.HasPrefix(info.Name, "sha256:") {
				s.add("snapshot", "%s %s", name, info.Name)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func listIngests(ctx context.Context, client *containerd.Client, s Snapshot) error {
	all, err := client.ContentStore().ListStatuses(ctx)
	for _, ingest := range all {
		s.add("ingest", "%s", ingest.Ref)
	}
	return err
}
