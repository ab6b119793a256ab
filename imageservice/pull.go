package imageservice

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// managedLabel marks images that the node's runtime pulled, under the name that
// containerd's own CRI plugin and the tools around it use; pinnedLabel those that
// are not to be garbage collected.
const (
	managedLabel = "io.cri-containerd.image"
	pinnedLabel  = "io.cri-containerd.pinned"
)

// storeTimeout bounds a few calls to containerd's metadata store.
const storeTimeout = 30 * time.Second

// work is the pull from the first request to the image records. Registries are asked for the
// manifest without a seat: that takes nothing of the node.
func (p *pull) work(ctx context.Context) (string, error) {
	if p.after != nil { // an older pull with the same key is being undone
		select {
		case <-p.after:
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
	p.progress.stage("resolving")
	reg, err := p.s.openRegistry(ctx, p.named, p.creds)
	if err != nil {
		return "", err
	}
	p.reg = reg
	defer reg.close()
	desc, err := p.resolve(ctx)
	if err == nil {
		err = p.s.reached(ctx, pullResolved)
	}
	if err != nil {
		return "", err
	}
	if id, err := p.alreadyHere(ctx, desc); id != "" || err != nil {
		return id, err
	}
	leave, err := p.queue(ctx)
	if err != nil {
		return "", err
	}
	defer leave()
	return p.bring(ctx, desc)
}

// queue waits for a seat.
func (p *pull) queue(ctx context.Context) (leave func(), err error) {
	began := time.Now()
	p.progress.stage("queued")
	seat, err := p.s.seats.take(ctx, p.domain(), p.progress.arrived)
	if err != nil {
		return nil, fmt.Errorf("waiting for one of %d places of pulls: %w", p.s.opts.MaxConcurrentPulls, err)
	}
	p.progress.mu.Lock()
	p.progress.queued = time.Since(began)
	p.progress.mu.Unlock()
	return func() { p.s.seats.leave(seat) }, nil
}

// alreadyHere short-cuts a pull whose target is on the node and unpacked, and came from the same
// repository: only the tag may be new. It returns "" when there is something to do, or to be proven.
func (p *pull) alreadyHere(ctx context.Context, desc ocispec.Descriptor) (string, error) {
	p.s.writes.Lock()
	defer p.s.writes.Unlock()
	t := p.s.idx.targetOf(desc.Digest.String())
	if t == nil || p.s.idx.proof(desc.Digest, p.named) != proofRepository {
		return "", nil
	}
	if chain := chainID(t.config); chain != "" {
		_, err := p.s.client.SnapshotService(p.snapshotter).Stat(ctx, chain)
		if errdefs.IsNotFound(err) {
			return "", nil
		}
		if err != nil {
			return "", fmt.Errorf("looking for snapshot %s: %w", chain, err)
		}
	}
	p.progress.update(func(g *Progress) { g.BytesDone, g.BytesTotal = int64(t.size()), int64(t.size()) })
	p.progress.stage("committing")
	return t.id, p.commitLocked(ctx, t)
}

// bring fetches and unpacks the image under a lease, and writes its records.
func (p *pull) bring(ctx context.Context, desc ocispec.Descriptor) (id string, err error) {
	ctx, release, err := p.s.lease(ctx, "pull", p.ref)
	if err != nil {
		return "", err
	}
	// A pull that failed has its content collected before the caller hears of
	// it, so that nothing is left behind.
	defer func() {
		if rerr := release(err != nil); rerr != nil && err == nil {
			id, err = "", rerr
		}
		if err == nil {
			err = p.s.reached(ctx, pullReleased)
		}
	}()
	if err := p.s.reached(ctx, pullLeased); err != nil {
		return "", err
	}
	p.progress.stage("fetching")
	t, err := p.fetchAndUnpack(ctx, desc)
	if err == nil {
		err = p.s.reached(ctx, pullFetched)
	}
	if err != nil {
		return "", err
	}
	p.progress.stage("committing")
	p.s.writes.Lock()
	defer p.s.writes.Unlock()
	return t.id, p.commitLocked(ctx, t)
}

// commitLocked writes the image records and updates the index. The digest comes
// first: it keeps the image when the tag moves on later, as pods that use it by
// digest expect.
func (p *pull) commitLocked(ctx context.Context, t *target) error {
	names := []string{p.ref}
	if _, byDigest := p.named.(reference.Digested); !byDigest {
		digested, err := reference.WithDigest(reference.TrimNamed(p.named), t.desc.Digest)
		if err != nil {
			return fmt.Errorf("naming %s by digest %s: %w", p.ref, t.desc.Digest, err)
		}
		names = []string{digested.String(), p.ref}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	// From here on the pull goes through, whoever leaves.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	changed := map[string]record{}
	for _, name := range names {
		img, err := p.putRecord(ctx, name, t)
		if err != nil {
			return fmt.Errorf("writing image record %q: %w", name, err)
		}
		changed[name] = record{target: t, pinned: isPinned(img.Labels)}
		if err := p.s.reached(ctx, pullRecorded); err != nil {
			return err
		}
	}
	p.s.idx.set(changed, nil)
	return nil
}

// putRecord creates or updates one image record, unless it is right already.
func (p *pull) putRecord(ctx context.Context, name string, t *target) (images.Image, error) {
	is := p.s.client.ImageService()
	img := images.Image{Name: name, Target: t.desc, Labels: map[string]string{managedLabel: "managed"}}
	for {
		old, err := is.Get(ctx, name)
		if err == nil && old.Target.Digest == t.desc.Digest && old.Labels[managedLabel] != "" {
			return old, nil
		}
		if err == nil {
			old, err = is.Update(ctx, img, "target", "labels."+managedLabel)
			if !errdefs.IsNotFound(err) {
				return old, err
			}
			continue
		}
		if !errdefs.IsNotFound(err) {
			return img, err
		}
		created, err := is.Create(ctx, img)
		if !errdefs.IsAlreadyExists(err) {
			return created, err
		}
	}
}

func isPinned(labels map[string]string) bool { return labels[pinnedLabel] == "pinned" }

// arrived counts bytes that came from a host.
func (p *pull) arrived(e *endpoint, n int) {
	p.progress.bytes(e.name(), n)
	if f := p.s.opts.Hooks.BytesFetched; f != nil {
		f(e.name(), n)
	}
}

// cause prefers the reason for which a context ended to the bare "context
// canceled" that libraries report.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) {
		return context.Cause(ctx)
	}
	return err
}
