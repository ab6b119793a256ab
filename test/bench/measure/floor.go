package measure

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/containerd/containerd/v2/pkg/archive"
	"github.com/containerd/containerd/v2/pkg/archive/compression"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/berth-run/berth/test/bench/content"
)

// floor fetches an image's layers and unpacks them, each into a directory of its own on
// the sides' tmpfs, as many at once as there are processors. There is no store, no
// snapshot and no record. With verify the digests of the layers are computed, compressed
// and not, as the specification of images wants and everybody has to who must not trust
// the registry.
func (e *Env) floor(ctx context.Context, shape content.Shape, comp string, verify bool) (time.Duration, error) {
	dir, err := os.MkdirTemp(e.Host.DataDir(), "floor-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	repository, err := e.Host.Registry.Repository(shape.Ref(comp))
	if err != nil {
		return 0, err
	}
	base := e.Host.Registry.URL() + "/v2/" + repository
	settle(ctx, 2*pause)
	began := time.Now()
	layers, err := fetchLayers(ctx, base+"/manifests/"+comp)
	if err != nil {
		return 0, err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.NumCPU())
	for n, layer := range layers {
		g.Go(func() error {
			into := filepath.Join(dir, strconv.Itoa(n))
			if err := os.Mkdir(into, 0o755); err != nil {
				return err
			}
			return unpack(ctx, base+"/blobs/"+layer.Digest.String(), into, layer.Digest.Encoded(), verify)
		})
	}
	err = g.Wait()
	return time.Since(began), err
}

func fetchLayers(ctx context.Context, url string) ([]ocispec.Descriptor, error) {
	body, err := get(ctx, url)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	var manifest ocispec.Manifest
	if err := json.NewDecoder(body).Decode(&manifest); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	return manifest.Layers, nil
}

func get(ctx context.Context, url string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", ocispec.MediaTypeImageManifest)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("GET %s: %s", url, resp.Status)
	}
	return resp.Body, nil
}

func unpack(ctx context.Context, url, into, digest string, verify bool) error {
	body, err := get(ctx, url)
	if err != nil {
		return err
	}
	defer body.Close()
	var compressed, plain hash.Hash
	var in io.Reader = body
	if verify {
		compressed, plain = sha256.New(), sha256.New()
		in = io.TeeReader(in, compressed)
	}
	stream, err := compression.DecompressStream(in)
	if err != nil {
		return err
	}
	defer stream.Close()
	var tar io.Reader = stream
	if verify {
		tar = io.TeeReader(tar, plain)
	}
	if _, err := archive.Apply(ctx, into, tar); err != nil {
		return err
	}
	// What a tar archive has after its end.
	if _, err := io.Copy(io.Discard, tar); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, in); err != nil {
		return err
	}
	if verify && hex.EncodeToString(compressed.Sum(nil)) != digest {
		return fmt.Errorf("%s has another digest", url)
	}
	return nil
}
