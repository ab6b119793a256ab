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

// download makes a blob available for the pull: it brings it into the content store, under the
// lease in ctx, or has the registry show that it has what is on the node already (see proof). It
// reports whether the blob came over the network; then it was also written to tee. Content that
// does not match its digest is thrown away and asked of the next host.
func (p *pull) download(ctx context.Context, desc ocispec.Descriptor, what string, tee *layerStream) (bool, error) {
	failed := &RegistryError{What: what}
	for {
		fetched, err := p.bringBlob(ctx, desc, failed, tee)
		switch {
		case err == nil && !fetched:
			tee.spoil() // nothing will come
			p.progress.have(desc.Size)
			return false, nil
		case err == nil:
			return true, nil
		case errors.Is(err, errCorrupt), errdefs.IsAlreadyExists(err):
			tee.spoil() // once more: from the next host, or with what another pull has brought meanwhile
		default:
			return false, cause(ctx, err)
		}
	}
}

// bringBlob is download without another try.
func (p *pull) bringBlob(ctx context.Context, desc ocispec.Descriptor, failed *RegistryError, tee *layerStream) (fetched bool, err error) {
	info, err := p.s.client.ContentStore().Info(ctx, desc.Digest)
	if errdefs.IsNotFound(err) {
		return true, p.downloadOnce(ctx, desc, failed, tee)
	}
	if err != nil {
		return false, fmt.Errorf("looking for %s on the node: %w", failed.What, err)
	}
	if info.Size != desc.Size {
		return false, malformed("%s has %d bytes, not %d", failed.What, info.Size, desc.Size)
	}
	shown, err := p.shown(ctx, desc, info)
	if shown || err != nil {
		return false, err
	}
	return true, p.prove(ctx, desc, info, failed, tee)
}

// prove downloads content that is on the node, so that the registry shows that it has it.
func (p *pull) prove(ctx context.Context, desc ocispec.Descriptor, info content.Info, failed *RegistryError, tee *layerStream) error {
	t := p.newTransfer(ctx, desc, failed)
	defer t.Close()
	verifier := desc.Digest.Verifier()
	if err := p.copyBlob(verifier, t, tee); err != nil {
		return err
	}
	if verifier.Verified() {
		return p.noteSource(ctx, info)
	}
	p.progress.have(-desc.Size)
	return p.corrupt(t, failed, errors.New("not the content of its digest"))
}

// downloadOnce brings a blob that the node does not have.
func (p *pull) downloadOnce(ctx context.Context, desc ocispec.Descriptor, failed *RegistryError, tee *layerStream) error {
	cs := p.s.client.ContentStore()
	ref := p.ingestRef(ctx, desc)
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
	switch {
	case st.Offset >= desc.Size:
		// Another namespace of containerd has it, which proves nothing.
		if err := p.prove(ctx, desc, content.Info{}, failed, tee); err != nil {
			return err
		}
	default:
		if st.Offset > 0 {
			t.startAt(st.Offset)
			p.progress.have(st.Offset)
			tee.spoil()
		}
		if err := p.copyBlob(w, t, tee); err != nil {
			return err
		}
	}
	if err := p.s.reached(ctx, pullBlobWritten); err != nil {
		return err
	}
	err = w.Commit(ctx, desc.Size, desc.Digest, content.WithLabels(sourceLabels(nil, p.named)))
	if errdefs.IsAlreadyExists(err) {
		// It came from elsewhere meanwhile; this registry has given all of it too.
		err = p.noteSource(ctx, content.Info{Digest: desc.Digest})
	}
	if err == nil {
		return p.s.reached(ctx, pullBlobStored)
	}
	if !errdefs.IsFailedPrecondition(err) {
		return fmt.Errorf("storing %s: %w", failed.What, err)
	}
	p.progress.have(-desc.Size)
	w.Close()
	if aerr := cs.Abort(ctx, ref); aerr != nil && !errdefs.IsNotFound(aerr) {
		return fmt.Errorf("throwing away corrupt content: %w", aerr)
	}
	return p.corrupt(t, failed, err)
}

// ingestRef names the place in the content store where a download is put together. There is one
// for each registry, so that a slow one is in nobody else's way, and none has its download
// completed by another.
func (p *pull) ingestRef(ctx context.Context, desc ocispec.Descriptor) string {
	bare := ocispec.Descriptor{MediaType: desc.MediaType, Digest: desc.Digest, Size: desc.Size}
	return remotes.MakeRefKey(ctx, bare) + "@" + p.domain()
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

// corrupt notes that a host delivered something else than the blob. The error is errCorrupt
// while there are other hosts to ask.
func (p *pull) corrupt(t *transfer, failed *RegistryError, err error) error {
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
