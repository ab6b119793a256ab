package imageservice

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/berth-run/berth/internal/budget"
)

// descriptorOf describes a pushed image.
func descriptorOf(t *testing.T, img v1.Image) ocispec.Descriptor {
	t.Helper()
	d, err := img.Digest()
	check(t, err)
	size, err := img.Size()
	check(t, err)
	mt, err := img.MediaType()
	check(t, err)
	return ocispec.Descriptor{MediaType: string(mt), Digest: digest.Digest(d.String()), Size: size}
}

// shelf answers with documents that the test registry would not take.
type shelf map[string][]byte

// put stores an index under its digest, and returns what describes it.
func (s shelf) put(t *testing.T, entries ...ocispec.Descriptor) ocispec.Descriptor {
	t.Helper()
	raw, err := json.Marshal(ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: entries,
	})
	check(t, err)
	d := digest.FromBytes(raw)
	s[d.String()] = raw
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageIndex, Digest: d, Size: int64(len(raw))}
}

func (s shelf) serve(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, ok := s[r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]]
		if !ok {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", ocispec.MediaTypeImageIndex)
		w.Header().Set("Docker-Content-Digest", digest.FromBytes(raw).String())
		w.Header().Set("Content-Length", fmt.Sprint(len(raw)))
		if r.Method == http.MethodGet {
			_, _ = w.Write(raw)
		}
	})
}

// sameVerdict pulls an image by tag, and has a new service look for it as after a restart.
func sameVerdict(t *testing.T, n *node, ref string, want bool) {
	t.Helper()
	id, err := n.pull(ref)
	if got := err == nil; got != want {
		t.Errorf("%s: pulled %v, want %v: %v", ref, got, want, err)
	}
	if errdefs.IsUnavailable(err) {
		t.Errorf("%s: the registry is not to blame: %v", ref, err)
	}
	again := n.service(Options{})
	img, err := again.Status(ref)
	if got := err == nil; got != want {
		t.Errorf("%s: there after a restart %v, want %v: %v", ref, got, want, err)
	}
	if err == nil && (img.ID != id || len(again.List(nil)) != 1) {
		t.Errorf("%s: is %s after a restart, was %s; %d listed", ref, img.ID, id, len(again.List(nil)))
	}
	check(t, again.Close())
	if id != "" {
		check(t, n.svc.Remove(t.Context(), id))
	}
}

// TestOddIndexes pulls from indexes whose other entries are of no use here.
func TestOddIndexes(t *testing.T) {
	reg := newRegistry(t)
	img := imageOf(t, 50, 1, 1000)
	reg.push(t, "x:good", img)
	good := descriptorOf(t, img)
	here := platforms.DefaultSpec()
	good.Platform = &here
	s := shelf{}
	for name, odd := range map[string]ocispec.Descriptor{
		"algorithm": {MediaType: good.MediaType, Digest: "blake3:" + digest.Digest(strings.Repeat("a", 64)), Size: 100, Platform: &here},
		"digest":    {MediaType: good.MediaType, Digest: "none", Size: 100},
		"size":      {MediaType: good.MediaType, Digest: good.Digest, Size: 1 << 50, Platform: &here},
		"no size":   {MediaType: good.MediaType, Digest: good.Digest, Platform: &here},
		"artifact":  {MediaType: good.MediaType, Digest: good.Digest, Size: good.Size + 1, ArtifactType: "application/vnd.example.sbom", Platform: &here},
		"type":      {MediaType: "application/vnd.example.thing", Digest: good.Digest, Size: 7, Platform: &here},
	} {
		s[strings.ReplaceAll(name, " ", "")] = s[s.put(t, odd, good).Digest.String()]
	}
	nested := good
	for depth := 1; depth <= budget.IndexDepth+1; depth++ {
		nested = s.put(t, nested)
		s[fmt.Sprintf("depth%d", depth)] = s[nested.Digest.String()]
	}
	reg.interfere(s.serve)
	n := newNode(t, Options{})
	n.mirror("registry.example", reg.URL)
	for tag := range s {
		if !strings.Contains(tag, ":") {
			sameVerdict(t, n, "registry.example/x:"+tag, tag != fmt.Sprintf("depth%d", budget.IndexDepth+1))
		}
	}
	n.clean()
}

// TestWrongPlatforms pulls and imports images whose configuration is wrong about its platform.
func TestWrongPlatforms(t *testing.T) {
	reg := newRegistry(t)
	n := newNode(t, Options{})
	n.mirror("registry.example", reg.URL)
	here := platforms.DefaultSpec()
	s := shelf{}
	seed := uint64(60)
	for tag, p := range map[string]v1.Platform{
		"other": {OS: "linux", Architecture: "s390x"}, "empty": {}, "noarch": {OS: "linux"},
		"newer": {OS: "linux", Architecture: runtime.GOARCH, Variant: "v9"}, "odd": {OS: "Beos", Architecture: "../x"},
	} {
		seed++
		img := imageOf(t, seed, 1, 1000)
		cf, err := img.ConfigFile()
		check(t, err)
		cf = cf.DeepCopy()
		cf.OS, cf.Architecture, cf.Variant = p.OS, p.Architecture, p.Variant
		img, err = mutate.ConfigFile(img, cf)
		check(t, err)
		reg.push(t, "x:"+tag, img)
		d := descriptorOf(t, img)
		unknown := d
		d.Platform = &here
		s["index-"+tag] = s[s.put(t, d).Digest.String()]
		// Nobody says what it is for but the configuration.
		s["bare-"+tag] = s[s.put(t, unknown).Digest.String()]
		t.Run("import "+tag, func(t *testing.T) {
			ref := "registry.example/imported-" + tag + ":1"
			parsed, err := name.NewTag(ref)
			check(t, err)
			file := filepath.Join(t.TempDir(), "i.tar")
			check(t, tarball.WriteToFile(file, parsed, img))
			n.ctr("images", "import", "--no-unpack", "--all-platforms", file)
			eventually(t, "the imported image is listed", func() bool { return n.has(ref) })
			got, err := n.svc.Status(ref)
			check(t, err)
			check(t, n.svc.EnsureUnpacked(t.Context(), got, ""))
			check(t, n.svc.Remove(t.Context(), ref))
		})
	}
	reg.interfere(s.serve)
	for _, tag := range []string{"other", "empty", "noarch", "newer", "odd"} {
		sameVerdict(t, n, "registry.example/x:"+tag, true)
		sameVerdict(t, n, "registry.example/x:index-"+tag, true)
	}
	sameVerdict(t, n, "registry.example/x:bare-other", false)
	sameVerdict(t, n, "registry.example/x:bare-empty", true)
	n.clean()
}

// bigConfigs are image configurations as large as they may be, that take as much memory as possible.
func bigConfigs() map[string][]byte {
	fill := func(begin, item, end string) []byte {
		n := min((budget.ImageConfig-1000)/(len(item)+8), budget.ImageValues/4)
		var b bytes.Buffer
		b.WriteString(begin)
		for i := range n {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(strings.ReplaceAll(item, "#", fmt.Sprintf("%07d", i)))
		}
		b.WriteString(end)
		return b.Bytes()
	}
	const tail = `,"rootfs":{"type":"layers","diff_ids":[]}}`
	return map[string][]byte{
		"labels":  fill(`{"config":{"Labels":{`, `"#":"`+strings.Repeat("x", 100)+`"`, `}}`+tail),
		"ports":   fill(`{"config":{"ExposedPorts":{`, `"#/tcp":{}`, `}}`+tail),
		"history": fill(`{"history":[`, `{"comment":"#`+strings.Repeat("x", 100)+`"}`, `]`+tail),
		"author":  []byte(`{"author":"` + strings.Repeat("x", budget.ImageConfig-1000) + `"` + tail),
	}
}

// TestKeptConfiguration measures what configurations of 8 MiB cost as long as their images are here.
func TestKeptConfiguration(t *testing.T) {
	for name, raw := range bigConfigs() {
		kept := make([]ocispec.Image, 0, 8)
		before := heap()
		for range cap(kept) {
			c, err := parseConfig(raw, 0)
			check(t, err)
			kept = append(kept, c)
		}
		each := (int64(heap()) - int64(before)) / int64(cap(kept))
		t.Logf("%s: a configuration of %d bytes keeps %d bytes", name, len(raw), each)
		if each > 64<<10 {
			t.Errorf("%s: a configuration keeps %d bytes", name, each)
		}
		runtime.KeepAlive(kept)
	}
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestConfigurationBudget refuses what no kernel starts, and what is cheap to send and dear to decode.
func TestConfigurationBudget(t *testing.T) {
	list := func(item string, n int) string { return strings.TrimSuffix(strings.Repeat(item+",", n), ",") }
	const tail = `,"rootfs":{"type":"layers","diff_ids":[]}}`
	for name, c := range map[string]struct {
		config string
		ok     bool
	}{
		"usual":             {`{"config":{"Env":[` + list(`"A=b"`, 1000) + `]}` + tail, true},
		"empty strings":     {`{"config":{"Env":[` + list(`""`, 2_000_000) + `]}` + tail, false},
		"many variables":    {`{"config":{"Env":[` + list(`"A=b"`, 100_000) + `]}` + tail, false},
		"a long command":    {`{"config":{"Cmd":["` + strings.Repeat("x", budget.ImageKept) + `"]}` + tail, false},
		"quoted separators": {`{"author":"` + strings.Repeat(`\",:[{`, 100_000) + `"` + tail, true},
	} {
		_, err := parseConfig([]byte(c.config), 0)
		if got := err == nil; got != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && !errdefs.IsFailedPrecondition(err) {
			t.Errorf("%s: class of %v", name, err)
		}
	}
}

// TestReportedNames has more tags of one image than are shown.
func TestReportedNames(t *testing.T) {
	x := newIndex(Pins{})
	one := fakeTarget("abc1", "1")
	records := map[string]record{}
	for i := range 3 * budget.ReportedNames {
		records[fmt.Sprintf("registry.example/x:%d", i)] = record{target: one}
		records[fmt.Sprintf("registry.example/x%d:1", i)] = record{target: one}
	}
	x.set(records, nil)
	img, err := x.find(one.id)
	check(t, err)
	if got := img.CRI(); len(got.RepoTags) != budget.ReportedNames || len(got.RepoDigests) != budget.ReportedNames || len(img.Names) != len(records) {
		t.Errorf("%d tags and %d digests of %d names are shown", len(got.RepoTags), len(got.RepoDigests), len(img.Names))
	}
}
