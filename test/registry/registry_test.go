package registry_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/berth-run/berth/test/registry"
)

// start returns a registry that has a random image of the given layer size as
// registry.k8s.io/pause:1, and the digest of the image's layer.
func start(t *testing.T, opts registry.Options, size int64) (*registry.Registry, v1.Hash) {
	t.Helper()
	r, err := registry.Start(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	img, err := random.Image(size, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Push("registry.k8s.io/pause:1", img); err != nil {
		t.Fatal(err)
	}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	digest, err := layers[0].Digest()
	if err != nil {
		t.Fatal(err)
	}
	return r, digest
}

// pull reads the image and its layer with go-containerregistry's client.
func pull(t *testing.T, r *registry.Registry, opts ...remote.Option) error {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(r.CAPEM())
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	defer transport.CloseIdleConnections()
	var nameOpts []name.Option
	if r.CAPEM() == nil {
		nameOpts = append(nameOpts, name.Insecure)
	}
	ref, err := name.ParseReference(r.Host()+"/registry.k8s.io/pause:1", nameOpts...)
	if err != nil {
		t.Fatal(err)
	}
	img, err := remote.Image(ref, append(opts, remote.WithTransport(transport))...)
	if err != nil {
		return err
	}
	layers, err := img.Layers()
	if err != nil {
		return err
	}
	rc, err := layers[0].Compressed()
	if err != nil {
		return err
	}
	defer rc.Close()
	_, err = io.Copy(io.Discard, rc)
	return err
}

func TestAuthentication(t *testing.T) {
	for _, secure := range []bool{false, true} {
		for _, auth := range []registry.Auth{registry.AuthNone, registry.AuthBasic, registry.AuthToken} {
			t.Run(fmt.Sprintf("tls=%v,auth=%s", secure, auth), func(t *testing.T) {
				r, _ := start(t, registry.Options{TLS: secure, Auth: auth}, 100)
				credentials := remote.WithAuth(&authn.Basic{Username: r.User(), Password: r.Password()})
				if err := pull(t, r, credentials); err != nil {
					t.Errorf("with the right password: %v", err)
				}
				if err := pull(t, r); (err == nil) != (auth == registry.AuthNone) {
					t.Errorf("without credentials: %v", err)
				}
			})
		}
	}
}

func TestRequestsAreCounted(t *testing.T) {
	r, digest := start(t, registry.Options{}, 100)
	for range 2 {
		if err := pull(t, r); err != nil {
			t.Fatal(err)
		}
	}
	if n := r.CountRequests(http.MethodGet, digest.String()); n != 2 {
		t.Errorf("layer fetched %d times, want 2", n)
	}
	r.ResetRequests()
	if n := len(r.Requests()); n != 0 {
		t.Errorf("%d counters after the reset, want none", n)
	}
}

func TestFaults(t *testing.T) {
	for name, fault := range map[string]registry.Fault{
		"status":     {Status: http.StatusInternalServerError},
		"drop":       {Drop: true, Path: "/blobs/"},
		"drop later": {Drop: true, Path: "/blobs/", AfterBytes: 5000},
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := start(t, registry.Options{}, 100_000)
			remove := r.Inject(fault)
			if err := pull(t, r, remote.WithRetryBackoff(remote.Backoff{Steps: 1})); err == nil {
				t.Error("the pull succeeded in spite of the fault")
			}
			remove()
			if err := pull(t, r); err != nil {
				t.Errorf("after the fault: %v", err)
			}
		})
	}
}

func TestStallEndsWithTheFault(t *testing.T) {
	r, _ := start(t, registry.Options{}, 100_000)
	remove := r.Inject(registry.Fault{Stall: true, Path: "/blobs/", AfterBytes: 5000})
	done := make(chan error, 1)
	go func() { done <- pull(t, r) }()
	select {
	case err := <-done:
		t.Fatalf("the pull ended while the registry stalls: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	remove()
	if err := <-done; err != nil {
		t.Errorf("after the stall: %v", err)
	}
}

func TestThrottleAndTimes(t *testing.T) {
	r, digest := start(t, registry.Options{}, 20_000)
	r.Inject(registry.Fault{Path: digest.String(), BytesPerSecond: 50_000, Times: 1})
	for _, slow := range []bool{true, false} {
		begin := time.Now()
		if err := pull(t, r); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); slow != (took > 300*time.Millisecond) {
			t.Errorf("pull took %v, want slow = %v", took, slow)
		}
	}
}

// An interrupted download is resumed with a range that is open at its end.
func TestOpenRange(t *testing.T) {
	r, digest := start(t, registry.Options{}, 1000)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet,
		r.URL()+"/v2/registry.k8s.io/pause/blobs/"+digest.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Range", "bytes=100-")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusPartialContent || len(body) < 900 {
		t.Errorf("status %s with %d bytes, want 206 with the rest of the layer", resp.Status, len(body))
	}
}

func TestWriteHosts(t *testing.T) {
	r, _ := start(t, registry.Options{TLS: true}, 10)
	dir := t.TempDir()
	other := registry.Mirror{URL: "http://127.0.0.1:1/v2"}
	if err := registry.WriteHosts(dir, "quay.io", other, r.Mirror("quay.io")); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, "quay.io", "hosts.toml"))
	if err != nil {
		t.Fatal(err)
	}
	want := strings.NewReplacer("DIR", dir, "HOST", r.Host()).Replace(`server = "https://HOST/v2/quay.io"
override_path = true
capabilities = ["pull", "resolve"]
ca = "DIR/quay.io/ca-0.crt"

[host."http://127.0.0.1:1/v2"]
override_path = true
capabilities = ["pull", "resolve"]
`)
	if string(got) != want {
		t.Errorf("hosts.toml is\n%s\nwant\n%s", got, want)
	}
}
