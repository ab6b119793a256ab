package imageservice

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
)

// parrot is a registry that claims to have everything of another one, and gives only what known
// allows.
func parrot(t *testing.T, img v1.Image, known ...string) *testRegistry {
	t.Helper()
	manifest, err := img.RawManifest()
	check(t, err)
	m, err := img.Manifest()
	check(t, err)
	config, err := img.RawConfigFile()
	check(t, err)
	sizes := map[string]int64{m.Config.Digest.String(): m.Config.Size}
	for _, l := range m.Layers {
		sizes[l.Digest.String()] = l.Size
	}
	r := newRegistry(t)
	r.interfere(func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			parts := strings.Split(req.URL.Path, "/")
			what := parts[len(parts)-1]
			var body []byte
			size := sizes[what]
			switch {
			case strings.Contains(req.URL.Path, "/manifests/"):
				body, size = manifest, int64(len(manifest))
				w.Header().Set("Content-Type", string(m.MediaType))
				digest, _ := img.Digest()
				w.Header().Set("Docker-Content-Digest", digest.String())
				what = "manifest"
			case what == m.Config.Digest.String():
				body, what = config, "config"
			}
			w.Header().Set("Content-Length", fmt.Sprint(size))
			if req.Method == http.MethodHead {
				return
			}
			if !strings.Contains(strings.Join(known, " "), what) {
				body = noise(77, int(size))
			}
			_, _ = w.Write(body)
		})
	})
	return r
}

// TestDigestIsNoKey pulls what is on the node from a registry that does not have it.
func TestDigestIsNoKey(t *testing.T) {
	owner := newRegistry(t)
	img := imageOf(t, 40, 2, 300_000)
	owner.push(t, "secret:1", img)
	n := newNode(t, Options{})
	n.mirror("owner.example", owner.URL)
	private := n.mustPull("owner.example/secret:1")
	before := len(n.leftovers())

	for name, known := range map[string][]string{
		"nothing": nil, "manifest": {"manifest"}, "manifest and configuration": {"manifest", "config"},
	} {
		t.Run(name, func(t *testing.T) {
			n.mirror("thief.example", parrot(t, img, known...).URL)
			for _, ref := range []string{"thief.example/x@" + private.Target.Digest.String(), "thief.example/x:1"} {
				if id, err := n.pull(ref); err == nil {
					t.Errorf("%s: got %s from a registry that does not have it", ref, id)
				}
				if _, err := n.svc.Status(ref); err == nil {
					t.Errorf("%s names the image", ref)
				}
			}
		})
	}
	t.Run("layers of its own under the same diff IDs", func(t *testing.T) {
		thief := newRegistry(t)
		thief.push(t, "x:1", withLayersOf(t, img))
		n.mirror("thief.example", thief.URL)
		if id, err := n.pull("thief.example/x:1"); err == nil {
			t.Errorf("got %s, whose snapshots are another image's", id)
		}
	})
	t.Run("another repository of the registry", func(t *testing.T) {
		owner.push(t, "mine:1", withOtherConfig(t, img))
		owner.interfere(func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.Contains(r.URL.Path, "/mine/blobs/") && strings.Contains(fmt.Sprint(layerDigests(t, img)), r.URL.Path[strings.LastIndex(r.URL.Path, ":")+1:]) {
					http.NotFound(w, r)
					return
				}
				next.ServeHTTP(w, r)
			})
		})
		defer owner.interfere(nil)
		if id, err := n.pull("owner.example/mine:1"); err == nil {
			t.Errorf("got %s, whose layers the repository does not have", id)
		}
	})
	if after := n.leftovers(); len(after) != before {
		t.Errorf("left behind: %d objects, were %d:\n%s", len(after), before, strings.Join(after, "\n"))
	}
	if _, err := n.svc.Status(private.ID); err != nil {
		t.Errorf("the owner's image: %v", err)
	}
}

// TestPossessionShown pulls what is on the node from registries that do have it.
func TestPossessionShown(t *testing.T) {
	owner, other := newRegistry(t), newRegistry(t)
	img := imageOf(t, 41, 2, 300_000)
	owner.push(t, "a:1", img)
	owner.push(t, "b:1", img)
	other.push(t, "c:1", img)
	n := newNode(t, Options{})
	n.mirror("owner.example", owner.URL)
	n.mirror("other.example", other.URL)
	first := n.mustPull("owner.example/a:1")
	gets := func(r *testRegistry) int {
		sum := 0
		for _, l := range layerDigests(t, img) {
			sum += r.count("GET /v2/b/blobs/"+l) + r.count("GET /v2/c/blobs/"+l)
		}
		return sum
	}
	for _, ref := range []string{"owner.example/b:1", "other.example/c:1"} {
		if got := n.mustPull(ref); got.ID != first.ID {
			t.Errorf("%s is %s, want %s", ref, got.ID, first.ID)
		}
	}
	if got := gets(owner); got != 0 {
		t.Errorf("%d layers downloaded from the registry that gave them", got)
	}
	if got := gets(other); got != 2 {
		t.Errorf("%d layers downloaded from the registry that had to show them, want 2", got)
	}
	heads := owner.count("HEAD /v2/b/blobs/")
	n.mustPull("owner.example/b:1")
	n.mustPull("other.example/c:1")
	if got := gets(other); got != 2 {
		t.Errorf("%d layers downloaded after they were shown", got-2)
	}
	if got := owner.count("HEAD /v2/b/blobs/"); got != heads {
		t.Errorf("%d layers asked for after they were shown", got-heads)
	}
}

func layerDigests(t *testing.T, img v1.Image) []string {
	t.Helper()
	m, err := img.Manifest()
	check(t, err)
	var out []string
	for _, l := range m.Layers {
		out = append(out, l.Digest.String())
	}
	return out
}

// withLayersOf is an image with the configuration of another one, and layers that are noise.
func withLayersOf(t *testing.T, img v1.Image) v1.Image {
	t.Helper()
	config, err := img.RawConfigFile()
	check(t, err)
	m, err := img.Manifest()
	check(t, err)
	m = m.DeepCopy()
	layers := map[v1.Hash]v1.Layer{}
	for i := range m.Layers {
		l := static.NewLayer(noise(uint64(500+i), 1000), types.OCILayer)
		digest, err := l.Digest()
		check(t, err)
		m.Layers[i].Digest, m.Layers[i].Size = digest, 1000
		layers[digest] = l
	}
	raw, err := json.Marshal(m)
	check(t, err)
	return rawImage{Image: img, manifest: raw, parsed: m, config: config, layers: layers}
}

// rawImage is pushed as it is, fitting or not.
type rawImage struct {
	v1.Image
	manifest, config []byte
	parsed           *v1.Manifest
	layers           map[v1.Hash]v1.Layer
}

func (r rawImage) RawManifest() ([]byte, error)        { return r.manifest, nil }
func (r rawImage) Manifest() (*v1.Manifest, error)     { return r.parsed, nil }
func (r rawImage) RawConfigFile() ([]byte, error)      { return r.config, nil }
func (r rawImage) MediaType() (types.MediaType, error) { return r.parsed.MediaType, nil }
func (r rawImage) Size() (int64, error)                { return int64(len(r.manifest)), nil }
func (r rawImage) Digest() (v1.Hash, error) {
	h, _, err := v1.SHA256(strings.NewReader(string(r.manifest)))
	return h, err
}
func (r rawImage) ConfigName() (v1.Hash, error) { return r.parsed.Config.Digest, nil }
func (r rawImage) Layers() ([]v1.Layer, error) {
	var out []v1.Layer
	for _, l := range r.parsed.Layers {
		out = append(out, r.layers[l.Digest])
	}
	return out, nil
}

// withOtherConfig has the layers of an image under another configuration.
func withOtherConfig(t *testing.T, img v1.Image) v1.Image {
	t.Helper()
	cf, err := img.ConfigFile()
	check(t, err)
	cf = cf.DeepCopy()
	cf.Author = "somebody else"
	img, err = mutate.ConfigFile(img, cf)
	check(t, err)
	return img
}

// TestDiscardedLayers pulls other images of layers whose snapshots are all that is left of them.
func TestDiscardedLayers(t *testing.T) {
	owner, other := newRegistry(t), newRegistry(t)
	img := imageOf(t, 43, 2, 300_000)
	owner.push(t, "a:1", img)
	owner.push(t, "b:1", withOtherConfig(t, img))
	other.push(t, "c:1", img)
	n := newNode(t, Options{DiscardUnpackedLayers: true})
	n.mirror("owner.example", owner.URL)
	n.mirror("other.example", other.URL)
	gets := func(r *testRegistry, repo string) int {
		sum := 0
		for _, l := range layerDigests(t, img) {
			sum += r.count("GET /v2/" + repo + "/blobs/" + l)
		}
		return sum
	}
	collected := func() {
		t.Helper()
		check(t, n.svc.collect(n.ctx))
		for _, l := range layerDigests(t, img) {
			if _, err := n.client.ContentStore().Info(n.ctx, digest.Digest(l)); !errdefs.IsNotFound(err) {
				t.Fatalf("layer %s was not discarded: %v", l, err)
			}
		}
	}
	n.mustPull("owner.example/a:1")
	collected()
	// As after a restart: what is known is read from the store.
	check(t, n.svc.Close())
	n.svc = n.service(Options{DiscardUnpackedLayers: true})
	checkFiles(t, n, n.mustPull("owner.example/b:1"), 2)
	if got := gets(owner, "b"); got != 0 {
		t.Errorf("%d layers downloaded, whose snapshots are here and which the registry gave", got)
	}
	collected()
	checkFiles(t, n, n.mustPull("other.example/c:1"), 2)
	if got := gets(other, "c"); got != 2 {
		t.Errorf("%d layers downloaded from a registry that had to show them, want 2", got)
	}
	collected()
}
