package imageservice

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
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

func TestManyCallersOnePull(t *testing.T) {
	reg := newRegistry(t)
	reg.push(t, "a:1", imageOf(t, 13, 3, 100_000))
	gate := make(chan struct{})
	reg.interfere(onBlobs(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		<-gate
		next.ServeHTTP(w, r)
	}))
	var started, joined atomic.Int32
	n := newNode(t, Options{Hooks: Hooks{PullStarted: func(string) { started.Add(1) }, PullJoined: func(string) { joined.Add(1) }}})
	n.mirror("registry.example", reg.URL)

	leaver, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() {
		_, err := n.svc.Pull(leaver, &runtimeapi.ImageSpec{Image: "registry.example/a:1"}, nil, nil)
		left <- err
	}()
	eventually(t, "the pull is in flight", func() bool { return len(n.svc.Pulls()) == 1 })
	var wg sync.WaitGroup
	for range 10 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if _, err := n.pull("registry.example/a:1"); err != nil {
				t.Error(err)
			}
		}()
	}
	eventually(t, "all wait", func() bool { p := n.svc.Pulls(); return len(p) == 1 && p[0].Waiters == 11 })
	leave()
	if err := <-left; !errdefs.IsCanceled(err) {
		t.Errorf("the caller that left: %v", err)
	}
	if p := n.svc.Pulls(); len(p) != 1 || p[0].Waiters != 10 || p[0].Ref != "registry.example/a:1" {
		t.Errorf("pulls %+v", p)
	}
	close(gate)
	wg.Wait()
	if started.Load() != 1 || joined.Load() != 10 {
		t.Errorf("%d pulls, %d joined", started.Load(), joined.Load())
	}
	if got := reg.count("GET /v2/a/blobs/"); got != 4 {
		t.Errorf("%d blob requests, want 4", got)
	}
}

func TestLastCallerLeaves(t *testing.T) {
	reg := newRegistry(t)
	reg.push(t, "a:1", imageOf(t, 14, 3, 1_000_000))
	ended := make(chan struct{}, 16)
	half := func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		_, b := body(next, r)
		w.Header().Set("Content-Length", fmt.Sprint(len(b)))
		_, _ = w.Write(b[:len(b)/2])
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		ended <- struct{}{}
	}
	reg.interfere(onBlobs(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if _, b := body(next, r); len(b) < 10_000 {
			next.ServeHTTP(w, r)
			return
		}
		half(w, r, next)
	}))
	n := newNode(t, Options{})
	n.mirror("registry.example", reg.URL)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 2 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if _, err := n.svc.Pull(ctx, &runtimeapi.ImageSpec{Image: "registry.example/a:1"}, nil, nil); !errdefs.IsCanceled(err) {
				t.Errorf("caller that left: %v", err)
			}
		}()
	}
	eventually(t, "bytes came", func() bool {
		p := n.svc.Pulls()
		return len(p) == 1 && p[0].Waiters == 2 && p[0].BytesDone > 1_000_000 && p[0].BytesTotal > 3_000_000 && p[0].LayersTotal == 3
	})
	cancel()
	wg.Wait()
	<-ended // the registry sees the connection go
	// A new caller does not join what is being undone.
	reg.interfere(nil)
	img := n.mustPull("registry.example/a:1")
	checkFiles(t, n, img, 3)
	check(t, n.svc.Remove(t.Context(), img.ID))
	n.clean()
}

func TestMalformedContent(t *testing.T) {
	good := imageOf(t, 15, 1, 50_000)
	notGzip := static.NewLayer(noise(1, 5000), types.OCILayer)
	manifest, err := good.RawManifest()
	check(t, err)
	cases := map[string]struct {
		img  any
		text string
	}{
		"configuration is no JSON":      {rawConfig{good, []byte("{]")}, "configuration"},
		"diff_ids missing":              {rawConfig{good, []byte(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}`)}, "diff_ids"},
		"diff_ids wrong":                {rawConfig{good, []byte(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:` + strings.Repeat("a", 64) + `"]}}`)}, "diff"},
		"configuration of another type": {rawManifest{good, bytes.Replace(manifest, []byte("application/vnd.docker.container.image.v1+json"), []byte("application/vnd.acme.rocket.config.v1+json"), 1)}, "artifact"},
		"layer is no archive":           {appended(t, notGzip), "layer"},
		"manifest is no JSON":           {rawManifest{good, []byte(`{"schemaVersion":2,"config":7}`)}, "manifest"},
		"index without platforms":       {mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: good, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "plan9", Architecture: "mips"}}}), "plan9/mips"},
	}
	reg := newRegistry(t)
	n := newNode(t, Options{})
	n.mirror("registry.example", reg.URL)
	i := 0
	for name, c := range cases {
		i++
		t.Run(name, func(t *testing.T) {
			repo := fmt.Sprintf("bad%d", i)
			pushRaw(t, reg, repo, c.img)
			_, err := n.pull("registry.example/" + repo + ":1")
			if err == nil || !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v, want something about %q", err, c.text)
			}
			if !errdefs.IsFailedPrecondition(err) && !errdefs.IsNotFound(err) {
				t.Errorf("class of %v", err)
			}
			n.clean()
		})
	}
}

func appended(t *testing.T, l v1.Layer) v1.Image {
	t.Helper()
	m, err := l.Digest()
	check(t, err)
	cfg := fmt.Sprintf(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[%q]}}`, m.String())
	img, err := mutate.AppendLayers(empty.Image, l)
	check(t, err)
	return rawConfig{img, []byte(cfg)}
}

// rawConfig is an image with another configuration than the library would make.
type rawConfig struct {
	v1.Image
	raw []byte
}

// rawManifest is an image with another manifest than the library would make.
type rawManifest struct {
	v1.Image
	raw []byte
}

// pushRaw pushes with plain requests, since the library checks what it pushes.
func pushRaw(t *testing.T, reg *testRegistry, repo string, img any) {
	t.Helper()
	switch v := img.(type) {
	case rawConfig:
		raw, err := v.RawManifest()
		check(t, err)
		var m v1.Manifest
		check(t, json.Unmarshal(raw, &m))
		m.Config.Digest, m.Config.Size = blob(t, reg, repo, v.raw), int64(len(v.raw))
		layers(t, reg, repo, v.Image)
		raw, err = json.Marshal(m)
		check(t, err)
		put(t, reg, repo, string(m.MediaType), raw)
	case rawManifest:
		cfg, err := v.RawConfigFile()
		check(t, err)
		blob(t, reg, repo, cfg)
		layers(t, reg, repo, v.Image)
		mt, err := v.MediaType()
		check(t, err)
		put(t, reg, repo, string(mt), v.raw)
	default:
		reg.push(t, repo+":1", img)
	}
}

func layers(t *testing.T, reg *testRegistry, repo string, img v1.Image) {
	t.Helper()
	ls, err := img.Layers()
	check(t, err)
	for _, l := range ls {
		rc, err := l.Compressed()
		check(t, err)
		raw, err := io.ReadAll(rc)
		check(t, err)
		blob(t, reg, repo, raw)
	}
}

func blob(t *testing.T, reg *testRegistry, repo string, raw []byte) v1.Hash {
	t.Helper()
	h, _, err := v1.SHA256(bytes.NewReader(raw))
	check(t, err)
	resp, err := http.Post(fmt.Sprintf("%s/v2/%s/blobs/uploads/?digest=%s", reg.URL, repo, h), "application/octet-stream", bytes.NewReader(raw))
	check(t, err)
	resp.Body.Close()
	if resp.StatusCode >= 300 {
		t.Fatalf("pushing a blob: %s", resp.Status)
	}
	return h
}

func put(t *testing.T, reg *testRegistry, repo, mediaType string, raw []byte) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPut, fmt.Sprintf("%s/v2/%s/manifests/1", reg.URL, repo), bytes.NewReader(raw))
	check(t, err)
	req.Header.Set("Content-Type", mediaType)
	resp, err := http.DefaultClient.Do(req)
	check(t, err)
	resp.Body.Close()
	if resp.StatusCode >= 300 {
		t.Fatalf("pushing a manifest: %s", resp.Status)
	}
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
