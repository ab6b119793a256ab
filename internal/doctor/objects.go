package doctor

import (
	"context"
	"fmt"
	"strings"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"

	"github.com/berth-run/berth/engine"
)

// snapshotters that Berth uses.
var snapshotters = []string{"overlayfs", "native"}

// leaseLabel marks Berth's leases, which expire by themselves; one that is younger than
// leaseAge may be in use.
const (
	leaseLabel = "berth.run/image-lease"
	leaseAge   = 2 * time.Hour
)

// snapshots are containerd's snapshots that are no layers of images.
func (d *Doctor) snapshots(ctx context.Context) ([]Finding, error) {
	if d.Client == nil {
		return nil, nil
	}
	ctx = engine.Context(ctx)
	var found []Finding
	for _, name := range snapshotters {
		sn := d.Client.SnapshotService(name)
		err := sn.Walk(ctx, func(_ context.Context, i snapshots.Info) error {
			owner := id.FindString(i.Name)
			if owner == "" || strings.HasPrefix(i.Name, "sha256:") || strings.Contains(i.Name, " ") {
				return nil // a layer, or one that is being unpacked
			}
			f := Finding{
				Kind: "snapshot", Name: name + "/" + i.Name, ID: owner, order: orderObject,
				fix: func(ctx context.Context) error { return ignoreMissing(sn.Remove(engine.Context(ctx), i.Name)) },
			}
			if !marked(i.Labels) {
				f.LeftAlone = "it has no label of Berth's (those of builds before this one have none either): ctr snapshots rm removes it"
			}
			found = append(found, f)
			return nil
		})
		if err != nil && !errdefs.IsNotFound(err) && !errdefs.IsInvalidArgument(err) {
			return nil, fmt.Errorf("list the snapshots of %s: %w", name, err)
		}
	}
	return found, nil
}

// marked reports whether one of the labels is Berth's.
func marked(labels map[string]string) bool {
	for l := range labels {
		if strings.HasPrefix(l, engine.LabelPrefix) {
			return true
		}
	}
	return false
}

// namespaces lists the namespaces of other clients of Berth's containerd, to say that nothing in them is touched.
func (d *Doctor) namespaces(ctx context.Context) ([]Finding, error) {
	if d.Client == nil {
		return nil, nil
	}
	all, err := d.Client.NamespaceService().List(engine.Context(ctx))
	if err != nil {
		return nil, fmt.Errorf("list containerd's namespaces: %w", err)
	}
	var found []Finding
	for _, name := range all {
		if name != engine.Namespace {
			found = append(found, Finding{Kind: "containerd namespace", Name: name, LeftAlone: "it belongs to another client of this containerd"})
		}
	}
	return found, nil
}

// leases are Berth's own that should have expired.
func (d *Doctor) leases(ctx context.Context) ([]Finding, error) {
	if d.Client == nil {
		return nil, nil
	}
	ctx = engine.Context(ctx)
	var found []Finding
	all, err := d.Client.LeasesService().List(ctx, fmt.Sprintf("labels.%q", leaseLabel))
	if err != nil {
		return nil, fmt.Errorf("list leases: %w", err)
	}
	for _, l := range all {
		if time.Since(l.CreatedAt) < leaseAge {
			continue
		}
		found = append(found, Finding{
			Kind: "lease", Name: l.ID, order: orderObject,
			fix: func(ctx context.Context) error {
				return ignoreMissing(d.Client.LeasesService().Delete(engine.Context(ctx), leases.Lease{ID: l.ID}))
			},
		})
	}
	return found, nil
}

// Records reads the IDs of all pods and containers from a containerd that runs.
func Records(client *containerd.Client) func(context.Context) (map[string]bool, error) {
	return func(ctx context.Context) (map[string]bool, error) {
		ctx = engine.Context(ctx)
		pods, err := client.SandboxStore().List(ctx)
		if err != nil {
			return nil, err
		}
		ctrs, err := client.ContainerService().List(ctx)
		if err != nil {
			return nil, err
		}
		known := map[string]bool{}
		for _, p := range pods {
			known[p.ID] = true
		}
		for _, c := range ctrs {
			known[c.ID] = true
		}
		return known, nil
	}
}

func ignoreMissing(err error) error {
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}
