package metrics

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

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
	gzip := acceptsGzip(r.Header)
	key := fmt.Sprintf("%s gzip=%t", format, gzip)
	shared, err, _ := e.gathering.Do(key, func() (any, error) { return e.registry(format, gzip) })
	own := shared.(registryPart)
	if err != nil {
		// One collector that fails costs its own metrics only.
		klog.FromContext(r.Context()).Error(err, "Some metrics cannot be shown")
	}
	ctx, cancel := context.WithTimeout(r.Context(), scrapeTimeout)
	defer cancel()
	if own.packed != nil {
		w.Header().Set("Content-Encoding", "gzip")
		err = e.compressed(ctx, w, formOf(format), own)
	} else {
		err = e.plain(ctx, w, formOf(format), own.text)
	}
	if err != nil {
		klog.FromContext(r.Context()).V(3).Info("A scrape was cut off", "err", err)
	}
}

// registryPart is what is in the registry, and the end of the exposition.
type registryPart struct {
	text   []byte
	packed *deflated // nil when nobody asked for it
}

// registry encodes what is in the registry, and compresses it for those who take that.
func (e *exposition) registry(format expfmt.Format, gzip bool) (registryPart, error) {
	text, err := e.gather(format)
	part := registryPart{text: text}
	if gzip {
		packed, perr := deflate(len(text)/4, true, func(w io.Writer) error { _, err := w.Write(text); return err })
		part.packed, err = packed, errors.Join(err, perr)
	}
	return part, err
}

func (e *exposition) gather(format expfmt.Format) ([]byte, error) {
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
