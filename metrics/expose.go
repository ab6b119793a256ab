package metrics

import (
	"bytes"
	"context"
	"encoding/binary"
	"hash/crc32"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/klauspost/compress/flate"
	"github.com/prometheus/common/expfmt"
	"golang.org/x/sync/singleflight"
	"k8s.io/klog/v2"
)

const (
	// maxScrapes bounds scrapes at once; more than that are told to come again (503).
	maxScrapes = 16
	// scrapeTimeout bounds how long a scrape waits for a pass; then it gets the one before.
	scrapeTimeout = 5 * time.Second
	// epilogue ends an OpenMetrics exposition.
	epilogue = "# EOF\n"
)

// form is an exposition format.
type form int

const (
	formText form = iota
	formOpenMetrics
	formProtobuf
)

func formOf(f expfmt.Format) form {
	switch f.FormatType() {
	case expfmt.TypeOpenMetrics:
		return formOpenMetrics
	case expfmt.TypeProtoDelim:
		return formProtobuf
	default:
		return formText
	}
}

func (f form) encoder() encoder {
	if f == formProtobuf {
		return &protobuf{}
	}
	return &text{open: f == formOpenMetrics}
}

// exposition answers /metrics: the containers' families, which are encoded and compressed
// once a pass, and then the registry's, which are few.
type exposition struct {
	m     *Metrics
	slots chan struct{}
	// gathering lets scrapes that come at once share one look at the registry.
	gathering singleflight.Group
}

func newExposition(m *Metrics) *exposition {
	return &exposition{m: m, slots: make(chan struct{}, maxScrapes)}
}

// ServeHTTP implements http.Handler.
func (e *exposition) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	select {
	case e.slots <- struct{}{}:
		defer func() { <-e.slots }()
	default:
		http.Error(w, "too many scrapes at once", http.StatusServiceUnavailable)
		return
	}
	start := time.Now()
	defer func() { e.m.scrapes.Observe(time.Since(start).Seconds()) }()
	format := expfmt.NegotiateIncludingOpenMetrics(r.Header)
	// Only this escaping: no name here needs another.
	w.Header().Set("Content-Type", string(format))
	shared, err, _ := e.gathering.Do(string(format), func() (any, error) { return e.registry(format) })
	own := shared.([]byte)
	if err != nil {
		// One collector that fails costs its own metrics only.
		klog.FromContext(r.Context()).Error(err, "Some metrics cannot be shown")
	}
	ctx, cancel := context.WithTimeout(r.Context(), scrapeTimeout)
	defer cancel()
	if acceptsGzip(r.Header) {
		w.Header().Set("Content-Encoding", "gzip")
		err = e.compressed(ctx, w, formOf(format), own)
	} else {
		err = e.plain(ctx, w, formOf(format), own)
	}
	if err != nil {
		klog.FromContext(r.Context()).V(3).Info("A scrape was cut off", "err", err)
	}
}

// registry encodes what is in the registry, and the end of the exposition.
func (e *exposition) registry(format expfmt.Format) ([]byte, error) {
	families, err := e.m.Registry.Gather()
	var b bytes.Buffer
	enc := expfmt.NewEncoder(&b, format)
	for _, f := range families {
		if err := enc.Encode(f); err != nil {
			return b.Bytes(), err
		}
	}
	if formOf(format) == formOpenMetrics {
		b.WriteString(epilogue)
	}
	return b.Bytes(), err
}

func (e *exposition) plain(ctx context.Context, w io.Writer, f form, own []byte) error {
	if s := e.m.sampler; s != nil {
		if err := s.sample(ctx, everything).encode(w, s.families, f.encoder()); err != nil {
			return err
		}
	}
	_, err := w.Write(own)
	return err
}

// compressed writes one gzip member out of two parts that were deflated apart: the first
// ends on a byte's border without a final block, so that the second can follow it.
func (e *exposition) compressed(ctx context.Context, w io.Writer, f form, own []byte) error {
	first := &deflated{}
	if s := e.m.sampler; s != nil {
		var err error
		if first, err = s.sample(ctx, everything).deflate(f, s.families, s.opts.MaxAge); err != nil {
			return err
		}
	}
	header := []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255} // fastest algorithm, unknown OS
	if _, err := w.Write(append(header, first.data...)); err != nil {
		return err
	}
	z, err := flate.NewWriter(w, flate.BestSpeed)
	if err != nil {
		return err
	}
	if _, err := z.Write(own); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	var trailer [8]byte
	binary.LittleEndian.PutUint32(trailer[:], crc32.Update(first.crc, crc32.IEEETable, own))
	binary.LittleEndian.PutUint32(trailer[4:], first.size+uint32(len(own)))
	_, err = w.Write(trailer[:])
	return err
}

// deflated is compressed data with what gzip must know of its origin.
type deflated struct {
	data      []byte
	crc, size uint32
}

// deflate encodes and compresses a pass, once for all who ask within keep.
func (p *pass) deflate(f form, families []family, keep time.Duration) (*deflated, error) {
	p.rendered.mu.Lock()
	defer p.rendered.mu.Unlock()
	if d := p.rendered.gz[f]; d != nil {
		return d, nil
	}
	var out bytes.Buffer
	z, err := flate.NewWriter(&out, flate.BestSpeed)
	if err != nil {
		return nil, err
	}
	d := &deflated{}
	sum := writerFunc(func(b []byte) (int, error) {
		d.crc, d.size = crc32.Update(d.crc, crc32.IEEETable, b), d.size+uint32(len(b))
		return z.Write(b)
	})
	if err := p.encode(sum, families, f.encoder()); err != nil {
		return nil, err
	}
	if err := z.Flush(); err != nil {
		return nil, err
	}
	d.data = out.Bytes()
	if p.rendered.gz == nil {
		p.rendered.gz = map[form]*deflated{}
	}
	p.rendered.gz[f] = d
	p.drop(keep)
	return d, nil
}

type writerFunc func([]byte) (int, error)

// Write implements io.Writer.
func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// acceptsGzip says that the client takes it; one that gives it the weight 0 does not.
func acceptsGzip(h http.Header) bool {
	for _, part := range strings.Split(h.Get("Accept-Encoding"), ",") {
		name, weight, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.TrimSpace(name) == "gzip" {
			return strings.ReplaceAll(weight, " ", "") != "q=0"
		}
	}
	return false
}
