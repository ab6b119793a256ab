package imageservice

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

var (
	// errTruncated is a body that ended before the blob did.
	errTruncated = errors.New("truncated")
	// errCorrupt is a blob that does not have its digest.
	errCorrupt = errors.New("content does not match its digest")
)

// retriesWithoutProgress is how often one host may fail with a broken connection
// before it is given up for a blob; each retryProgress bytes of one connection start the count anew.
const retriesWithoutProgress = 2

// retryProgress is what a connection has to bring before it breaks to count for something, in bytes:
// else a host that gives one byte a connection would never be given up.
const retryProgress = 64 << 10

// retryPause keeps retries on the same host apart.
const retryPause = 200 * time.Millisecond

// transfer is the download of one blob: a reader that goes on with the next host,
// at the same offset, when one fails or stalls.
type transfer struct {
	p      *pull
	desc   ocispec.Descriptor
	hosts  []*endpoint // not yet given up; the first is in use
	failed *RegistryError

	offset  int64
	retries int
	brought int64 // by the connection in use
	// noRanges: the host in use does not resume downloads.
	noRanges bool
	ctx      context.Context
	body     io.ReadCloser
	floor    *floorReader
	cancel   context.CancelCauseFunc
	tctx     context.Context // of the request under way
}

// newTransfer prepares the download of desc; skip are hosts that gave corrupt
// content before.
func (p *pull) newTransfer(ctx context.Context, desc ocispec.Descriptor, failed *RegistryError) *transfer {
	// A manifest may name URLs anywhere in the world for a blob. They are not
	// followed: the node talks to the configured hosts only.
	desc.URLs = nil
	t := &transfer{p: p, desc: desc, ctx: ctx, failed: failed}
	for _, e := range p.reg.pullHosts() {
		if !slices.ContainsFunc(failed.Hosts, func(h HostError) bool { return h.Host == e.name() }) {
			t.hosts = append(t.hosts, e)
		}
	}
	return t
}

// host is the endpoint in use.
func (t *transfer) host() *endpoint { return t.hosts[0] }

// Read implements io.Reader. It ends with io.EOF exactly when all bytes of the
// blob were read.
func (t *transfer) Read(b []byte) (int, error) {
	if t.offset >= t.desc.Size {
		return 0, io.EOF
	}
	if left := t.desc.Size - t.offset; int64(len(b)) > left {
		b = b[:left]
	}
	for {
		if len(t.hosts) == 0 {
			return 0, t.failed
		}
		n, err := t.readHost(b)
		if n > 0 {
			t.offset += int64(n)
			if t.brought += int64(n); t.brought >= retryProgress {
				t.retries = 0
			}
			t.p.arrived(t.host(), n)
			return n, nil
		}
		if t.ctx.Err() != nil {
			return 0, context.Cause(t.ctx)
		}
		if err != nil {
			t.next(err)
		}
	}
}

// readHost reads from the host in use, asking it first when need be.
func (t *transfer) readHost(b []byte) (int, error) {
	if t.body == nil {
		if err := t.open(); err != nil {
			return 0, err
		}
	}
	n, err := t.floor.Read(b)
	switch {
	case n > 0 || err == nil:
		return n, nil
	case t.tctx.Err() != nil:
		return 0, context.Cause(t.tctx)
	case err == io.EOF:
		return 0, fmt.Errorf("the body ended after %d of %d bytes: %w", t.offset, t.desc.Size, errTruncated)
	}
	return 0, err
}

// open asks the host in use for the rest of the blob. The request goes out with
// the first Read, so that Read is what the floor watches.
func (t *transfer) open() error {
	t.tctx, t.cancel = context.WithCancelCause(t.ctx)
	body, err := t.host().fetcher.Fetch(expecting(t.host().guarded(t.tctx), answerBlob), t.desc)
	if err == nil && t.offset > 0 && !t.noRanges {
		err = seekTo(body, t.offset)
	}
	if err != nil {
		t.cancel(nil)
		return err
	}
	t.body = body
	t.floor = newFloorReader(body, t.cancel, t.p.s.opts.StallTimeout, t.p.s.opts.MinBytesPerSecond)
	if t.offset > 0 && t.noRanges {
		if _, err = io.CopyN(io.Discard, t.floor, t.offset); err != nil && t.tctx.Err() != nil {
			err = context.Cause(t.tctx)
		}
	}
	return err
}

func seekTo(r io.Reader, offset int64) error {
	seeker, ok := r.(io.Seeker)
	if !ok {
		return fmt.Errorf("the transfer cannot be resumed at %d", offset)
	}
	_, err := seeker.Seek(offset, io.SeekStart)
	return err
}

// next gives the host in use another chance, or moves on to the next one.
func (t *transfer) next(err error) {
	t.closeBody()
	t.brought = 0
	var status remoteerrors.ErrUnexpectedStatus
	if errors.As(err, &status) && status.StatusCode == http.StatusRequestedRangeNotSatisfiable && !t.noRanges {
		t.noRanges = true // ask for all of it and skip what is here
		return
	}
	t.noRanges = false
	reason, _ := classify(err)
	if t.retries++; reason == reasonNetwork && t.retries <= retriesWithoutProgress {
		select {
		case <-time.After(retryPause):
		case <-t.ctx.Done():
		}
		return
	}
	t.retries = 0
	if reason != reasonNotFound {
		t.p.reg.demote(t.host())
	}
	t.failed.Hosts = append(t.failed.Hosts, t.p.hostFailed(t.host(), t.failed.What, err))
	t.hosts = t.hosts[1:]
}

// startAt begins the transfer at an offset: what comes before it is here already,
// from a pull that was cut short.
func (t *transfer) startAt(offset int64) { t.offset = offset }

// Close ends the transfer.
func (t *transfer) Close() error {
	t.closeBody()
	return nil
}

func (t *transfer) closeBody() {
	if t.body == nil {
		return
	}
	t.floor.stop()
	t.cancel(nil)
	t.body.Close()
	t.body = nil
}
