package imageservice

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// download brings a blob into the content store, under the lease in ctx, and
// reports whether it came over the network. What arrives is also written to tee.
// Content that does not match its digest is thrown away and asked of the next
// host.
func (p *pull) download(ctx context.Context, desc ocispec.Descriptor, what string, tee *layerStream) (bool, error) {
	failed := &RegistryError{What: what}
	for {
		err := p.downloadOnce(ctx, desc, failed, tee)
		if err == nil {
			return true, nil
		}
		if errdefs.IsAlreadyExists(err) {
			tee.spoil() // nothing will come
			p.progress.have(desc.Size)
			return false, nil
		}
		if !errors.Is(err, errCorrupt) {
			return false, cause(ctx, err)
		}
		tee.spoil()
	}
}

// downloadOnce is download without another try after corrupt content.
func (p *pull) downloadOnce(ctx context.Context, desc ocispec.Descriptor, failed *RegistryError, tee *layerStream) error {
	cs := p.s.client.ContentStore()
	ref := remotes.MakeRefKey(ctx, desc)
	w, err := content.OpenWriter(ctx, cs, content.WithRef(ref), content.WithDescriptor(desc))
	if err != nil {
		return err
	}
	defer w.Close()
	st, err := w.Status()
	if err != nil {
		return fmt.Errorf("content store: %w", err)
	}
	t := p.newTransfer(ctx, desc, failed)
	defer t.Close()
	if st.Offset > 0 {
		t.startAt(st.Offset)
		p.progress.have(st.Offset)
		tee.spoil()
	}
	if err := p.copyBlob(w, t, tee); err != nil {
		return err
	}
	if err := p.s.reached(ctx, pullBlobWritten); err != nil {
		return err
	}
	err = w.Commit(ctx, desc.Size, desc.Digest)
	if err == nil || errdefs.IsAlreadyExists(err) {
		return p.s.reached(ctx, pullBlobStored)
	}
	if !errdefs.IsFailedPrecondition(err) {
		return fmt.Errorf("storing %s: %w", failed.What, err)
	}
	p.progress.have(-desc.Size)
	w.Close()
	return p.corrupt(ctx, t, ref, failed, err)
}

// copyBlob writes the transfer to the content store, and to the stream that the
// unpacking reads from.
func (p *pull) copyBlob(w io.Writer, t *transfer, tee *layerStream) error {
	buf := chunkMemory.Get().(*[chunkSize]byte)
	defer chunkMemory.Put(buf)
	for {
		n, err := t.Read(buf[:])
		if n > 0 {
			if _, werr := w.Write(buf[:n]); werr != nil {
				return fmt.Errorf("writing %s: %w", t.failed.What, werr)
			}
			tee.write(t.ctx, buf[:n])
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// corrupt throws away what a host delivered instead of the blob. The error is
// errCorrupt while there are other hosts to ask.
func (p *pull) corrupt(ctx context.Context, t *transfer, ref string, failed *RegistryError, err error) error {
	if aerr := p.s.client.ContentStore().Abort(ctx, ref); aerr != nil && !errdefs.IsNotFound(aerr) {
		return fmt.Errorf("throwing away corrupt content: %w", aerr)
	}
	if len(t.hosts) == 0 {
		// All of it was there before this pull: nobody is to blame yet.
		return errCorrupt
	}
	p.reg.demote(t.host())
	failed.Hosts = append(failed.Hosts, p.hostFailed(t.host(), failed.What, fmt.Errorf("%w: %v", errCorrupt, err)))
	if len(t.hosts) == 1 {
		return failed
	}
	return errCorrupt
}
