package guest

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/layout"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
	"github.com/berth-run/berth/test/images"
	"github.com/berth-run/berth/test/registry"
)

const (
	// inGuest is set by the machine's first process.
	inGuest = "BERTH_VM_GUEST"
	// imageLayout is where package vm has put the images, named by their annotation.
	imageLayout = "/images"
	nameKey     = "org.opencontainers.image.ref.name"
	// metricsAddress is the daemon's.
	metricsAddress = "127.0.0.1:9945"
)

// configuration is the daemon's.
const configuration = `
[metrics]
address = %q
[container.ulimits]
memlock = "unlimited"
`

// shared is the daemon of all tests.
var shared *daemon.Daemon

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) (code int) {
	if os.Getenv(inGuest) == "" {
		return m.Run() // every test skips itself
	}
	before := cgroupsBelow(cgroupRoot)
	certs, err := serveImages()
	if err == nil {
		shared, err = daemon.Launch(context.Background(), daemon.Options{
			Certs: certs, Config: fmt.Sprintf(configuration, metricsAddress),
		})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "starting berthd:", err)
		return 1
	}
	code = m.Run()
	if err := shared.Close(); err != nil {
		fmt.Fprintln(os.Stderr, "after all tests:", err)
		code = 1
	}
	if after := cgroupsBelow(cgroupRoot); !slices.Equal(after, before) {
		fmt.Fprintf(os.Stderr, "after all tests there are the cgroups %q, there were %q\n", after, before)
		code = 1
	}
	return code
}

// serveImages starts a registry with the images of the layout, and returns the
// certs.d directory that leads to it. It lives as long as the process.
func serveImages() (certs string, err error) {
	reg, err := registry.Start(registry.Options{})
	if err != nil {
		return "", err
	}
	index, err := layout.ImageIndexFromPath(imageLayout)
	if err != nil {
		return "", err
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return "", err
	}
	for _, m := range manifest.Manifests {
		img, err := index.Image(m.Digest)
		if err != nil {
			return "", err
		}
		if err := reg.Push(m.Annotations[nameKey], img); err != nil {
			return "", err
		}
	}
	if certs, err = os.MkdirTemp("", "certs-"); err != nil {
		return "", err
	}
	return certs, reg.WriteHosts(certs, images.Upstreams()...)
}

// use gives a test the daemon, with the images pulled; what it leaves behind is an error.
func use(t *testing.T) *daemon.Daemon {
	t.Helper()
	if shared == nil {
		t.Skip("runs inside the machine that make vm starts")
	}
	if shared.PID() == 0 {
		t.Fatalf("berthd has ended by itself\n%s", shared.Log())
	}
	shared.Pull(t, images.Busybox)
	shared.Pull(t, images.Tools)
	shared.MarkLog()
	t.Cleanup(func() {
		if t.Failed() {
			shared.ShowLog(t)
		}
	})
	shared.CheckLeaks(t)
	t.Cleanup(func() { // the sampler lets go of cgroups that are gone when it next measures
		_, _ = shared.Runtime.ListPodSandboxStats(daemon.Context(t), &runtimeapi.ListPodSandboxStatsRequest{})
	})
	return shared
}
