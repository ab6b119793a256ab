package imageservice

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/semaphore"

	"github.com/berth-run/berth/internal/budget"
	"github.com/berth-run/berth/internal/report"
)

// fetcher walks the content of one image, top down, into the content store.
type fetcher struct {
	p    *pull
	ctx  context.Context         // of the pull
	fail context.CancelCauseFunc // ends it on the first error

	slots *semaphore.Weighted // layers downloaded at once
	wg    sync.WaitGroup      // their downloads
	disk  disk                // their snapshots

	implied  impliedDirs
	room     allowance
	decoders decoders

	mu       sync.Mutex
	t        target
	manifest ocispec.Manifest
	depth    int  // indexes above the manifest
	chosen   bool // the index says that the manifest is for this platform, or there is no index
	streams  map[digest.Digest]*layerStream
	applied  map[layerPair]bool

	configured bool // the configuration is here and right
}

func newFetcher(ctx context.Context, p *pull, fail context.CancelCauseFunc) *fetcher {
	return &fetcher{
		p: p, ctx: ctx, fail: fail, slots: semaphore.NewWeighted(int64(p.s.opts.MaxParallelLayers)),
		room:   allowance{max: p.s.opts.MaxUnpackedSize},
		chosen: true, streams: map[digest.Digest]*layerStream{}, applied: map[layerPair]bool{},
	}
}

// handle fetches one descriptor and returns its children. It is called side by
// side for the layers.
func (f *fetcher) handle(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	children, err := f.dispatch(ctx, desc)
	if err != nil {
		f.fail(cause(ctx, err))
	}
	return children, err
}

func (f *fetcher) dispatch(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	switch {
	case images.IsIndexType(desc.MediaType):
		return f.index(ctx, desc)
	case images.IsManifestType(desc.MediaType):
		return f.image(ctx, desc)
	case images.IsConfigType(desc.MediaType):
		return nil, f.config(ctx, desc)
	}
	return nil, f.layer(ctx, desc)
}

func (f *fetcher) index(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	raw, err := f.small(ctx, desc, "index", budget.RegistryManifest)
	if err != nil {
		return nil, err
	}
	idx, err := parseIndex(raw)
	if err != nil {
		return nil, err
	}
	fit, err := selectManifests(idx, f.p.s.platform, f.p.s.platformText)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	f.depth++
	f.chosen = fit[0].Platform != nil
	deep := f.depth > budget.IndexDepth
	f.mu.Unlock()
	if deep {
		return nil, malformed("indexes nested more than %d deep", budget.IndexDepth)
	}
	// All children are labelled, as other tools do, so that a label always
	// stands for the same child whoever fetches further platforms.
	all := images.HandlerFunc(func(context.Context, ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		return slices.DeleteFunc(slices.Clone(idx.Manifests), func(d ocispec.Descriptor) bool {
			return checkDescriptor(d, math.MaxInt64) != nil
		}), nil
	})
	if _, err := f.label(all)(ctx, desc); err != nil {
		return nil, err
	}
	return fit[:1], nil
}

func (f *fetcher) image(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	raw, err := f.small(ctx, desc, "manifest", budget.RegistryManifest)
	if err != nil {
		return nil, err
	}
	m, err := parseManifest(raw)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	f.manifest = m
	f.t.manifest, f.t.layers, f.t.configSize = keptDescriptor(desc), keptDescriptors(m.Layers), m.Config.Size
	f.t.notes, f.t.id = report.Annotations(m.Annotations), m.Config.Digest.String()
	f.mu.Unlock()
	f.p.progress.update(func(g *Progress) {
		g.LayersTotal = len(m.Layers)
		g.BytesTotal += m.Config.Size
		for _, l := range m.Layers {
			g.BytesTotal += l.Size
		}
	})
	children := images.HandlerFunc(func(context.Context, ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		return append([]ocispec.Descriptor{m.Config}, m.Layers...), nil
	})
	return f.label(children)(ctx, desc)
}

// label makes a handler that notes what it returns as references of desc, which
// is how containerd's garbage collector finds them.
func (f *fetcher) label(h images.HandlerFunc) images.HandlerFunc {
	labels := images.ChildGCLabels
	if f.p.s.opts.DiscardUnpackedLayers {
		labels = images.ChildGCLabelsFilterLayers
	}
	return images.SetChildrenMappedLabels(f.p.s.client.ContentStore(), h, labels)
}

// config fetches and checks the configuration. Layers come only after it, so an
// image that does not fit this node costs no more than this.
func (f *fetcher) config(ctx context.Context, desc ocispec.Descriptor) error {
	raw, err := f.small(ctx, desc, "configuration", budget.ImageConfig)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	c, err := parseConfig(raw, len(f.manifest.Layers))
	if err != nil {
		return err
	}
	if err := checkPlatform(c, f.chosen, f.p.s.platform, f.p.s.platformText); err != nil {
		return err
	}
	f.t.config, f.configured = c, true
	return nil
}

// checkDiff refuses a layer whose uncompressed content is not what the
// configuration says.
func (f *fetcher) checkDiff(layer ocispec.Descriptor, got digest.Digest) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var want []string
	for i, l := range f.t.layers {
		if l.Digest != layer.Digest {
			continue
		}
		if f.t.config.RootFS.DiffIDs[i] == got {
			f.applied[layerPair{layer.Digest, got}] = true
			return nil
		}
		want = append(want, f.t.config.RootFS.DiffIDs[i].String())
	}
	return malformed("layer %s unpacks to diff_id %s, the configuration wants %s", layer.Digest, got, listOr(want, "none"))
}

// layer starts the download of one layer and does not wait for it: the unpacking,
// which begins when this returns, reads what arrives.
func (f *fetcher) layer(ctx context.Context, desc ocispec.Descriptor) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.streams[desc.Digest] != nil {
		return nil // the same layer twice in one image
	}
	stream := newLayerStream()
	stream.all = &f.p.s.streamed
	f.streams[desc.Digest] = stream
	f.wg.Add(1)
	// The context of this call ends when all calls have returned; the download
	// goes by the pull's.
	ctx = f.ctx
	go func() {
		defer f.wg.Done()
		err := f.download(ctx, desc, stream)
		if err != nil {
			f.fail(cause(ctx, err))
		}
		stream.finish(err)
	}()
	return nil
}

// stream returns the stream of a layer that is being fetched.
func (f *fetcher) stream(desc ocispec.Descriptor) *layerStream {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.streams[desc.Digest]
}

// drop frees what nobody read of the layers. The downloads have ended.
func (f *fetcher) drop() {
	for _, s := range f.streams {
		s.spoil()
	}
}

// download brings one layer, not more at once than configured, and not the same
// one twice from one registry, however many images have it.
func (f *fetcher) download(ctx context.Context, desc ocispec.Descriptor, stream *layerStream) error {
	if err := f.slots.Acquire(ctx, 1); err != nil {
		return err
	}
	defer f.slots.Release(1)
	locks, key := f.p.locks(), "layer://"+desc.Digest.String()
	if err := locks.Lock(ctx, key); err != nil {
		return err
	}
	defer locks.Unlock(key)
	kept, err := f.keptUnpacked(ctx, desc)
	if err != nil {
		return err
	}
	if kept {
		stream.spoil() // nothing will come
		f.p.progress.have(desc.Size)
		f.p.layerFetched(desc, false, 0)
		return nil
	}
	began := time.Now()
	fetched, err := f.p.download(ctx, desc, "layer "+desc.Digest.String(), stream)
	if err != nil {
		return err
	}
	f.p.layerFetched(desc, fetched, time.Since(began))
	return nil
}

func (p *pull) layerFetched(desc ocispec.Descriptor, fetched bool, took time.Duration) {
	p.progress.mu.Lock()
	p.progress.p.LayersDone++
	if p.progress.p.LayersDone == p.progress.p.LayersTotal {
		p.progress.p.Stage = "unpacking"
	}
	host := p.progress.p.Host
	if fetched {
		p.progress.layersFetched++
	}
	p.progress.mu.Unlock()
	if h := p.s.opts.Hooks.LayerFetched; fetched && h != nil {
		h(host, desc.Size, took)
	}
}

// small fetches a blob and returns it.
func (f *fetcher) small(ctx context.Context, desc ocispec.Descriptor, what string, limit int64) ([]byte, error) {
	if desc.Size > limit {
		return nil, malformed("%s of %d bytes, more than %d", what, desc.Size, limit)
	}
	if _, err := f.p.download(ctx, desc, what+" "+desc.Digest.String(), nil); err != nil {
		return nil, err
	}
	return readSmall(ctx, f.p.s.client.ContentStore(), desc, limit)
}
