package imageservice

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func fakeTarget(config, manifest string) *target {
	return &target{
		id:   digest.Digest("sha256:" + config + strings.Repeat("0", 64-len(config))).String(),
		desc: ocispec.Descriptor{Digest: digest.Digest("sha256:" + manifest + strings.Repeat("f", 64-len(manifest)))},
	}
}

func TestIndexFind(t *testing.T) {
	x := newIndex(Pins{names: map[string]bool{"docker.io/library/busybox:1": true}})
	one, two := fakeTarget("abc1", "1"), fakeTarget("abc2", "2")
	x.set(map[string]record{
		"docker.io/library/busybox:1": {target: one},
		"quay.io/x/y:latest":          {target: two},
		"quay.io/x/abc2:latest":       {target: one},
		"import-2026-01-01":           {target: two},
	}, nil)
	for ref, want := range map[string]*target{
		"busybox:1": one, "docker.io/library/busybox:1": one, "quay.io/x/y": two, "abc1": one, "sha256:abc2": two,
		one.id: one, two.id[7:]: two, "import-2026-01-01": two,
		"busybox@" + one.desc.Digest.String(): one, "busybox:9@" + one.desc.Digest.String(): one,
	} {
		if img, err := x.find(ref); err != nil || img.ID != want.id {
			t.Errorf("%q: %v, %v", ref, img, err)
		}
	}
	for ref, is := range map[string]func(error) bool{
		"abc": errdefs.IsInvalidArgument, "": errdefs.IsInvalidArgument, "Not/Valid": errdefs.IsInvalidArgument,
		"busybox": errdefs.IsNotFound, "ffff": errdefs.IsNotFound, "sha256:" + strings.Repeat("a", 64): errdefs.IsNotFound,
		strings.Repeat("a", 64): errdefs.IsNotFound,
	} {
		if img, err := x.find(ref); !is(err) {
			t.Errorf("%q: %v, %v", ref, img, err)
		}
	}
	img, _ := x.find(one.id)
	if !img.Pinned || len(img.RepoTags) != 2 || len(img.RepoDigests) != 2 {
		t.Errorf("%+v", img)
	}
	// The tag moves: the other image keeps what is left.
	x.set(map[string]record{"quay.io/x/abc2:latest": {target: two}}, []string{"docker.io/library/busybox:1"})
	if img, err := x.find(one.id); !errdefs.IsNotFound(err) {
		t.Errorf("%v, %v", img, err)
	}
	if img, err := x.find("quay.io/x/abc2"); err != nil || img.ID != two.id || len(img.Names) != 3 {
		t.Errorf("%v, %v", img, err)
	}
}

func TestUserOf(t *testing.T) {
	for in, want := range map[string]struct {
		uid  int64
		name string
	}{"": {-1, ""}, "0": {0, ""}, "12:34": {12, ""}, "www:www": {-1, "www"}, "www": {-1, "www"}} {
		uid, name := userOf(in)
		got := int64(-1)
		if uid != nil {
			got = *uid
		}
		if got != want.uid || name != want.name {
			t.Errorf("%q: %d %q", in, got, name)
		}
	}
}

// blockingReader gives one byte, then blocks until the request is cancelled.
type blockingReader struct {
	ctx context.Context
	n   int
}

func (b *blockingReader) Read(p []byte) (int, error) {
	if b.n > 0 {
		b.n--
		p[0] = 'x'
		return 1, nil
	}
	<-b.ctx.Done()
	return 0, b.ctx.Err()
}

func TestFloorReader(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	f := newFloorReader(&blockingReader{ctx, 3}, cancel, 50*time.Millisecond, 1)
	defer f.stop()
	_, err := io.ReadAll(f)
	if !errors.Is(err, context.Canceled) || !errors.Is(context.Cause(ctx), errStalled) {
		t.Errorf("%v, %v", err, context.Cause(ctx))
	}
	// A slow consumer is no stall.
	ctx, cancel = context.WithCancelCause(t.Context())
	defer cancel(nil)
	f = newFloorReader(&blockingReader{ctx, 100}, cancel, 20*time.Millisecond, 1)
	defer f.stop()
	for range 4 {
		time.Sleep(30 * time.Millisecond)
		if _, err := f.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if ctx.Err() != nil {
		t.Error("the consumer's time counted")
	}
}

func TestRegistryErrorClass(t *testing.T) {
	host := func(reasons ...string) *RegistryError {
		e := &RegistryError{What: "x"}
		for _, r := range reasons {
			e.Hosts = append(e.Hosts, HostError{Host: "h", Reason: r, Err: errors.New(r)})
		}
		return e
	}
	for _, c := range []struct {
		err *RegistryError
		is  func(error) bool
	}{
		{host(reasonNetwork, reasonNotFound), errdefs.IsNotFound},
		{host(reasonNotFound, reasonNetwork), errdefs.IsUnavailable},
		{host(reasonUnauthorized, reasonNetwork), errdefs.IsUnauthorized},
		{host(reasonNotFound, reasonDenied), errdefs.IsPermissionDenied},
		{host(reasonCorrupt), errdefs.IsDataLoss},
		{host(reasonThrottled), errdefs.IsUnavailable},
		{host(), errdefs.IsNotFound},
	} {
		if !c.is(c.err) {
			t.Errorf("%v", c.err)
		}
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(`{"architecture":"amd64","os":"linux","config":{"User":"1:2"},"rootfs":{"type":"layers","diff_ids":["sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]}}`), 1)
	f.Add([]byte(`{"rootfs":{"diff_ids":["sha256:x"]}}`), 1)
	f.Add([]byte(`null`), 0)
	f.Fuzz(func(t *testing.T, raw []byte, layers int) {
		c, err := parseConfig(raw, layers)
		if err != nil {
			if !errdefs.IsFailedPrecondition(err) {
				t.Errorf("class of %v", err)
			}
			return
		}
		if len(c.RootFS.DiffIDs) != layers {
			t.Errorf("%d diff_ids for %d layers", len(c.RootFS.DiffIDs), layers)
		}
		_ = chainID(c)
		userOf(c.Config.User)
	})
}

func FuzzParseManifest(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":2},"layers":[]}`))
	f.Add([]byte(`{"manifests":[{"digest":"sha256:a","size":-1}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if m, err := parseManifest(raw); err == nil {
			for _, l := range append(m.Layers, m.Config) {
				if l.Size <= 0 || l.Digest.Validate() != nil {
					t.Errorf("let through %+v", l)
				}
			}
		}
		_, _ = parseIndex(raw)
	})
}

func FuzzReference(f *testing.F) {
	for _, s := range []string{"busybox", "a.b/c:1", "sha256:abc", "x@sha256:" + strings.Repeat("a", 64), "UP", "", "localhost:5000/x"} {
		f.Add(s)
	}
	x := newIndex(Pins{})
	x.set(map[string]record{"docker.io/library/busybox:latest": {target: fakeTarget("abc", "1")}}, nil)
	f.Fuzz(func(t *testing.T, s string) {
		if named, err := parseRef(s); err == nil {
			again, err := parseRef(named.String())
			if err != nil || again.String() != named.String() {
				t.Errorf("%q normalises to %q and that to %v, %v", s, named, again, err)
			}
		} else if !errdefs.IsInvalidArgument(err) {
			t.Errorf("class of %v", err)
		}
		if img, err := x.find(s); err == nil && img == nil {
			t.Errorf("%q: neither image nor error", s)
		}
		splitName(s)
		serverHost(s)
	})
}

// TestGoneImages: who keeps something of an image hears that it is gone when the last of its names is, not before.
func TestGoneImages(t *testing.T) {
	x := newIndex(Pins{})
	var gone []string
	x.gone = func(id string) {
		if _, err := x.find(id); err == nil {
			t.Errorf("%s is still listed", id)
		}
		gone = append(gone, id)
	}
	one, two := fakeTarget("abc", "1"), fakeTarget("def", "2")
	x.set(map[string]record{"docker.io/library/a:1": {target: one}, "docker.io/library/a:2": {target: one}, "docker.io/library/b:1": {target: two}}, nil)
	x.set(nil, []string{"docker.io/library/a:1"})
	if len(gone) > 0 {
		t.Errorf("%v are said to be gone", gone)
	}
	x.set(map[string]record{"docker.io/library/a:2": {target: two}}, nil)
	x.replace(map[string]record{})
	if !slices.Equal(gone, []string{one.id, two.id}) {
		t.Errorf("gone are %v, want %s and %s", gone, one.id, two.id)
	}
}
