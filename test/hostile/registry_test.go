package hostile

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
	"github.com/berth-run/berth/test/images"
	"github.com/berth-run/berth/test/registry"
)

// newRegistry is one more registry, with a name of its own: its address.
func newRegistry(t *testing.T) *registry.Registry {
	t.Helper()
	reg, err := registry.Start(registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(reg.Close)
	return reg
}

// parts are what images are made of, built once.
var parts = sync.OnceValues(images.New)

// pauseImage is a small image that only this test has.
func pauseImage(t *testing.T, label string) v1.Image {
	t.Helper()
	set, err := parts()
	if err != nil {
		t.Fatal(err)
	}
	img, err := set.PauseAs(t.Name() + label)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func pull(ctx context.Context, d *daemon.Daemon, ref string, auth *runtimeapi.AuthConfig) error {
	_, err := d.Image.PullImage(ctx, &runtimeapi.PullImageRequest{Image: &runtimeapi.ImageSpec{Image: ref}, Auth: auth})
	return err
}

// removeImage forgets an image at the end of the test.
func removeImage(t *testing.T, d *daemon.Daemon, ref string) {
	t.Helper()
	t.Cleanup(func() {
		_, err := d.Image.RemoveImage(context.Background(), &runtimeapi.RemoveImageRequest{Image: &runtimeapi.ImageSpec{Image: ref}})
		if err != nil {
			t.Errorf("removing %s: %v", ref, err)
		}
	})
}

// TestRegistryThatKnowsOnlyDigests: a registry that has the manifest of an image that is on the node,
// and nothing else of it, gives nobody the image.
func TestRegistryThatKnowsOnlyDigests(t *testing.T) {
	d := target(t)
	owner, thief := newRegistry(t), newRegistry(t)
	img := pauseImage(t, "")
	private := owner.Host() + "/private:1"
	if err := owner.Push(private, img); err != nil {
		t.Fatal(err)
	}
	d.Pull(t, private)
	removeImage(t, d, private)

	raw, err := img.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	if err := thief.PutManifest(thief.Host()+"/x:1", manifest.MediaType, raw); err != nil {
		t.Fatal(err)
	}
	for _, part := range append([]v1.Descriptor{manifest.Config}, manifest.Layers...) {
		thief.PutBlob(part.Digest, bytes.Repeat([]byte("x"), int(part.Size)))
	}
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{thief.Host() + "/x:1", thief.Host() + "/x@" + digest.String()} {
		if err := pull(daemon.Context(t), d, ref, nil); err == nil {
			t.Errorf("%s was pulled from a registry that does not have it", ref)
		}
		got, err := d.Image.ImageStatus(daemon.Context(t), &runtimeapi.ImageStatusRequest{Image: &runtimeapi.ImageSpec{Image: ref}})
		if err != nil || got.GetImage() != nil {
			t.Errorf("%s names an image of the node: %v, %v", ref, got.GetImage(), err)
		}
	}
}

// hangingPulls is more pulls than work at a time (image.max_concurrent_pulls).
const hangingPulls = 12

// TestStallingRegistries: pulls that hang keep no other from the same content, neither many from
// one registry nor one from each of many.
func TestStallingRegistries(t *testing.T) {
	d := target(t)
	for name, c := range map[string]struct {
		fault registry.Fault
		many  bool
	}{
		"one that stalls":       {registry.Fault{Method: http.MethodGet, Path: "/blobs/", Stall: true, AfterBytes: 100}, false},
		"one that drips":        {registry.Fault{Method: http.MethodGet, Path: "/blobs/", BytesPerSecond: 20}, false},
		"one without an answer": {registry.Fault{Method: http.MethodHead, Path: "/manifests/", Delay: time.Hour}, false},
		"many that stall":       {registry.Fault{Method: http.MethodGet, Path: "/blobs/", Stall: true, AfterBytes: 100}, true},
	} {
		t.Run(name, func(t *testing.T) {
			bad := make([]*registry.Registry, hangingPulls)
			for i := range bad {
				if bad[i] = bad[0]; i == 0 || c.many {
					bad[i] = newRegistry(t)
					bad[i].Inject(c.fault)
				}
			}
			ctx, giveUp := context.WithCancel(daemon.Context(t))
			var pulls sync.WaitGroup
			defer pulls.Wait()
			defer giveUp()
			for i, reg := range bad {
				ref := fmt.Sprintf("%s/x%d:1", reg.Host(), i)
				if err := reg.Push(ref, pauseImage(t, strconv.Itoa(i))); err != nil {
					t.Fatal(err)
				}
				pulls.Go(func() {
					if err := pull(ctx, d, ref, nil); err == nil {
						t.Errorf("%s was pulled", ref)
					}
				})
			}
			d.Await(t, "the pulls hang", func() bool {
				hang := 0
				for i, reg := range bad {
					if reg.CountRequests(c.fault.Method, fmt.Sprintf("/x%d/", i)) > 0 {
						hang++
					}
				}
				return hang >= 8
			})
			good := newRegistry(t)
			for i := range 3 {
				ref := fmt.Sprintf("%s/good%d:1", good.Host(), i)
				if err := good.Push(ref, pauseImage(t, strconv.Itoa(i))); err != nil {
					t.Fatal(err)
				}
				if err := pull(daemon.Context(t), d, ref, nil); err != nil {
					t.Errorf("while others hang: %v", err)
				}
				removeImage(t, d, ref)
			}
		})
	}
}

// TestEndlessTokenAnswer: a token server that never stops answering takes no memory.
func TestEndlessTokenAnswer(t *testing.T) {
	d := target(t)
	var s *httptest.Server
	s = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/token" {
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s/token",service="x",scope="repository:x:pull"`, s.URL))
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, err := fmt.Fprint(w, `{"token":"`)
		for piece := bytes.Repeat([]byte("x"), 1<<20); err == nil; {
			_, err = w.Write(piece)
		}
	}))
	defer s.Close()
	before := peakMemory(t, d)
	err := pull(daemon.Context(t), d, strings.TrimPrefix(s.URL, "http://")+"/x:1", &runtimeapi.AuthConfig{Username: "joe", Password: "pw"})
	if err == nil || strings.Contains(err.Error(), "xxxx") || strings.Contains(err.Error(), "RegistryUnavailable") {
		t.Errorf("the pull: %v", err)
	}
	if grown := peakMemory(t, d) - before; grown > 64<<10 {
		t.Errorf("the daemon took %d KiB", grown)
	}
}

// peakMemory is the most memory the daemon had so far, in KiB.
func peakMemory(t *testing.T, d *daemon.Daemon) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.PID()))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		t.Fatal("no VmHWM")
	}
	n, err := strconv.Atoi(fields[0])
	if err != nil {
		t.Fatal(err)
	}
	return n
}
