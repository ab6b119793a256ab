package metrics

import (
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// failing is a collector without figures.
type failing struct{ desc *prometheus.Desc }

func (f failing) Describe(out chan<- *prometheus.Desc) { out <- f.desc }

func (f failing) Collect(out chan<- prometheus.Metric) {
	out <- prometheus.NewInvalidMetric(f.desc, errors.New("no figures"))
}

// TestGzip: what is compressed in two parts is one gzip member with the same text, in all formats
// at once, whether there are containers or not, and whether a collector fails or not.
func TestGzip(t *testing.T) {
	whole, h := New(Build{}), v2Host(t)
	src := &listSource{pods: []PodRef{testPod("p1", "/kubepods/p1")}, ctrs: []ContainerRef{testContainer("c1", "p1", "/kubepods/p1/c1")}}
	whole.sampler = NewSampler(h, src, Options{Network: fixedNetwork})
	defer whole.sampler.Close()
	broken := New(Build{})
	broken.Registry.MustRegister(failing{prometheus.NewDesc("berth_broken", "Nothing.", nil, nil)})
	for name, m := range map[string]*Metrics{"whole": whole, "without a sampler": New(Build{}), "a collector fails": broken} {
		e := newExposition(m)
		var all sync.WaitGroup
		for _, format := range []string{"text/plain", "application/openmetrics-text;version=1.0.0"} {
			for range 4 {
				all.Go(func() {
					plain, packed := answer(e, format, ""), answer(e, format, "gzip")
					if packed.Header.Get("Content-Encoding") != "gzip" {
						t.Errorf("%s: not compressed", name)
					}
					z, err := gzip.NewReader(packed.Body)
					if err != nil {
						t.Errorf("%s: %v", name, err)
						return
					}
					z.Multistream(false)
					got, err := io.ReadAll(z)
					want, _ := io.ReadAll(plain.Body)
					if err != nil || names(string(got)) != names(string(want)) || len(got) == 0 {
						t.Errorf("%s, %s: %v\n%s\nwant\n%s", name, format, err, names(string(got)), names(string(want)))
					}
				})
			}
		}
		all.Wait()
	}
}

func answer(e *exposition, format, encoding string) *http.Response {
	r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	r.Header.Set("Accept", format)
	r.Header.Set("Accept-Encoding", encoding)
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	return w.Result()
}

// names are the series of an exposition, whose values change from one scrape to the next.
func names(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		name, _, _ := strings.Cut(line, " ")
		out.WriteString(name + "\n")
	}
	return out.String()
}
