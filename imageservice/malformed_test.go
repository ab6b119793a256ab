package imageservice

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

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
