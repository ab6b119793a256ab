package imageservice

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/errdefs"
)

// onBlobs runs f instead of the registry for big blobs (layers of these tests).
func onBlobs(f func(w http.ResponseWriter, r *http.Request, next http.Handler)) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
				f(w, r, next)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// answer sends every request the same status.
func answer(code int, body string) func(http.Handler) http.Handler {
	return func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(code)
			_, _ = io.WriteString(w, body)
		})
	}
}

// body returns what the registry would answer.
func body(next http.Handler, r *http.Request) (http.Header, []byte) {
	rec := &recorder{header: http.Header{}}
	r = r.Clone(r.Context())
	r.Header.Del("Range")
	next.ServeHTTP(rec, r)
	return rec.header, rec.buf.Bytes()
}

type recorder struct {
	header http.Header
	buf    bytes.Buffer
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) Write(b []byte) (int, error) { return r.buf.Write(b) }
func (r *recorder) WriteHeader(int)             {}

func TestEveryHostIsTriedAndNamed(t *testing.T) {
	first, second, third := newRegistry(t), newRegistry(t), newRegistry(t)
	first.interfere(answer(http.StatusServiceUnavailable, "out for lunch"))
	second.interfere(answer(http.StatusNotFound, ""))
	third.interfere(answer(http.StatusTooManyRequests, "slow down"))
	away := newRegistry(t)
	away.Close()
	var failures sync.Map
	n := newNode(t, Options{Hooks: Hooks{HostFailed: func(h, reason string) { failures.Store(h, reason) }}})
	n.mirror("registry.example", first.URL, second.URL, away.URL, third.URL)
	_, err := n.pull("registry.example/a:1")
	if !errdefs.IsUnavailable(err) || !strings.HasPrefix(err.Error(), "RegistryUnavailable: ") {
		t.Errorf("not unavailable: %v", err)
	}
	for _, part := range []string{first.URL, "503", second.URL, away.URL, "connection refused", third.URL, "429", "registry.example/a:1"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not in the message: %v", part, err)
		}
	}
	for host, want := range map[string]string{first.URL: "server", second.URL: "notfound", away.URL: "network", third.URL: "throttled"} {
		if got, _ := failures.Load(host); got != want {
			t.Errorf("%s: reason %v, want %s", host, got, want)
		}
	}
	third.interfere(answer(http.StatusNotFound, ""))
	if _, err := n.pull("registry.example/a:1"); !errdefs.IsNotFound(err) {
		t.Errorf("the registry itself does not know it: %v", err)
	}
	third.interfere(answer(http.StatusForbidden, "blocked by policy 7"))
	if _, err := n.pull("registry.example/a:1"); !errdefs.IsPermissionDenied(err) || !strings.Contains(err.Error(), "policy 7") {
		t.Errorf("forbidden: %v", err)
	}
	n.clean()
}

func TestFailoverInTheMiddleOfALayer(t *testing.T) {
	const size = 2_000_000
	img := imageOf(t, 10, 3, size)
	for name, fault := range map[string]func(w http.ResponseWriter, r *http.Request, next http.Handler){
		"stalled": func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			h, b := body(next, r)
			w.Header().Set("Content-Type", h.Get("Content-Type"))
			w.Header().Set("Content-Length", fmt.Sprint(len(b)))
			_, _ = w.Write(b[:len(b)/2])
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		},
		"corrupt": func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			_, b := body(next, r)
			b = bytes.Clone(b)
			b[len(b)/2] ^= 1
			_, _ = w.Write(b)
		},
		"truncated": func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			_, b := body(next, r)
			_, _ = w.Write(b[:len(b)/2])
		},
		"broken connection": func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			_, b := body(next, r)
			w.Header().Set("Content-Length", fmt.Sprint(len(b)))
			_, _ = w.Write(b[:10])
			panic(http.ErrAbortHandler)
		},
		"away for layers": func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			w.WriteHeader(http.StatusInternalServerError)
		},
	} {
		t.Run(name, func(t *testing.T) {
			bad, good := newRegistry(t), newRegistry(t)
			bad.push(t, "a:1", img)
			good.push(t, "a:1", img)
			bad.interfere(onBlobs(fault))
			n := newNode(t, Options{StallTimeout: 300 * time.Millisecond})
			n.mirror("registry.example", bad.URL, good.URL)
			got := n.mustPull("registry.example/a:1")
			checkFiles(t, n, got, 3)
			check(t, n.svc.Remove(t.Context(), got.ID))

			// The same without another host.
			n.mirror("registry.example", bad.URL)
			_, err := n.pull("registry.example/a:1")
			if err == nil || !strings.Contains(err.Error(), bad.URL) {
				t.Errorf("pull from a bad registry: %v", err)
			}
			n.clean()
		})
	}
}

func TestFloor(t *testing.T) {
	reg := newRegistry(t)
	reg.push(t, "a:1", imageOf(t, 11, 1, 100_000))
	reg.interfere(onBlobs(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		h, b := body(next, r)
		w.Header().Set("Content-Type", h.Get("Content-Type"))
		w.Header().Set("Content-Length", fmt.Sprint(len(b)))
		for i := range b { // 100 bytes a second: never still, never done
			if _, err := w.Write(b[i : i+1]); err != nil {
				return
			}
			w.(http.Flusher).Flush()
			select {
			case <-time.After(10 * time.Millisecond):
			case <-r.Context().Done():
				return
			}
		}
	}))
	n := newNode(t, Options{StallTimeout: 500 * time.Millisecond, MinBytesPerSecond: 10_000})
	n.mirror("registry.example", reg.URL)
	began := time.Now()
	_, err := n.pull("registry.example/a:1")
	if !errdefs.IsUnavailable(err) || !strings.Contains(err.Error(), "floor") {
		t.Errorf("below the floor: %v", err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("took %s", took)
	}
	n.clean()
}

func TestPullDeadline(t *testing.T) {
	reg := newRegistry(t)
	reg.push(t, "a:1", imageOf(t, 12, 1, 100_000))
	reg.interfere(onBlobs(func(w http.ResponseWriter, r *http.Request, next http.Handler) { <-r.Context().Done() }))
	n := newNode(t, Options{PullTimeout: 500 * time.Millisecond})
	n.mirror("registry.example", reg.URL)
	if _, err := n.pull("registry.example/a:1"); !errdefs.IsDeadlineExceeded(err) {
		t.Errorf("past the deadline: %v", err)
	}
	n.clean()
}

func TestHostsFileMistake(t *testing.T) {
	reg := newRegistry(t)
	reg.push(t, "a:1", imageOf(t, 16, 1, 1000))
	n := newNode(t, Options{})
	for text, want := range map[string]string{
		"server = \"" + reg.URL + "\"\nskip-verify = true\n": "line 2: unknown key \"skip-verify\"",
		"server = [\n": "line ",
		"server = \"" + reg.URL + "\"\ncapabilities = [\"pul\"]\n": "unknown capability",
	} {
		n.hostsFile("registry.example", text)
		_, err := n.pull("registry.example/a:1")
		if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "hosts.toml") {
			t.Errorf("hosts.toml %q: %v", text, err)
		}
	}
	// _default serves every registry.
	n.mirror("registry.example", reg.URL)
	n.mirror("_default", reg.URL)
	n.mustPull("other.example/a:1")
}

// TestWrongAnswers: a registry that answers nonsense is there all the same, which is what the kubelet is told.
func TestWrongAnswers(t *testing.T) {
	page := func(w http.ResponseWriter, header map[string]string, body string) {
		for k, v := range header {
			w.Header().Set(k, v)
		}
		_, _ = io.WriteString(w, body)
	}
	n := newNode(t, Options{})
	for name, answer := range map[string]http.HandlerFunc{
		"a web page": func(w http.ResponseWriter, _ *http.Request) {
			page(w, map[string]string{"Content-Type": "text/html"}, "<html>sign in</html>")
		},
		"no digest": func(w http.ResponseWriter, _ *http.Request) {
			page(w, map[string]string{"Content-Type": "application/vnd.oci.image.manifest.v1+json", "Docker-Content-Digest": "sha256:zz", "Content-Length": "2"}, "{}")
		},
		"an endless manifest": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
			if r.Method == http.MethodHead {
				return
			}
			for _, err := w.Write(make([]byte, 1<<20)); err == nil; {
				_, err = w.Write(make([]byte, 1<<20))
			}
		},
		"another place again and again": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.Path+"x", http.StatusFound)
		},
		"a manifest of Docker's first format": func(w http.ResponseWriter, _ *http.Request) {
			page(w, map[string]string{"Content-Type": "application/vnd.docker.distribution.manifest.v1+prettyjws"}, "{}")
		},
	} {
		t.Run(name, func(t *testing.T) {
			reg := newRegistry(t)
			reg.interfere(func(http.Handler) http.Handler { return answer })
			n.mirror("registry.example", reg.URL)
			_, err := n.pull("registry.example/a:1")
			if !errdefs.IsFailedPrecondition(err) || strings.Contains(err.Error(), "RegistryUnavailable") || len(err.Error()) > 2000 {
				t.Errorf("%v", err)
			}
		})
	}
	n.clean()
}

// TestByteByByte: a registry that gives a byte a connection is given up.
func TestByteByByte(t *testing.T) {
	reg := newRegistry(t)
	reg.push(t, "a:1", imageOf(t, 70, 1, 100_000))
	reg.interfere(onBlobs(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		_, b := body(next, r)
		var at int
		if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &at); err == nil {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", at, len(b)-1, len(b)))
			w.WriteHeader(http.StatusPartialContent)
		}
		_, _ = w.Write(b[at : at+1])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}))
	n := newNode(t, Options{})
	n.mirror("registry.example", reg.URL)
	if _, err := n.pull("registry.example/a:1"); !errdefs.IsUnavailable(err) {
		t.Errorf("%v", err)
	}
	if got := reg.count("GET /v2/a/blobs/"); got > 10 {
		t.Errorf("asked %d times", got)
	}
	n.clean()
}
