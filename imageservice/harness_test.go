package imageservice

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// node is a real containerd with the service under test.
type node struct {
	t       testing.TB
	dir     string
	address string
	certs   string
	client  *containerd.Client
	svc     *Service
	ctx     context.Context
}

// binary finds a companion built by the Makefile.
func binary(t testing.TB, name string) string {
	t.Helper()
	for _, dir := range []string{os.Getenv("BERTH_BIN"), "../bin"} {
		path, err := filepath.Abs(filepath.Join(dir, name))
		if _, serr := os.Stat(path); dir != "" && err == nil && serr == nil {
			return path
		}
	}
	t.Skipf("needs bin/%s: run make build", name)
	return ""
}

// newNode starts containerd and the service; all of it is gone with the test.
func newNode(t testing.TB, opts Options) *node {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: containerd unpacks layers into overlayfs snapshots")
	}
	n := &node{t: t, dir: t.TempDir()}
	n.certs = filepath.Join(n.dir, "certs.d")
	n.address = startContainerd(t, n.dir)
	client, err := containerd.New(n.address, containerd.WithDefaultNamespace("k8s.io"), containerd.WithTimeout(20*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	n.client = client
	eventually(t, "containerd serves", func() bool {
		ok, err := client.IsServing(t.Context())
		return err == nil && ok
	})
	n.ctx = namespaces.WithNamespace(t.Context(), "k8s.io")
	n.svc = n.service(opts)
	return n
}

// service makes another service on the same containerd, as after a restart.
func (n *node) service(opts Options) *Service {
	n.t.Helper()
	opts.RegistryConfigDir = n.certs
	svc, err := New(n.client, opts)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { svc.Close() })
	if err := svc.Recover(n.t.Context()); err != nil {
		n.t.Fatal(err)
	}
	return svc
}

// startContainerd runs containerd without its CRI plugin in dir and returns its
// address.
func startContainerd(t testing.TB, dir string) string {
	t.Helper()
	// Unix socket paths are short.
	sock, err := os.MkdirTemp("", "bis")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(sock) })
	address := filepath.Join(sock, "c.sock")
	config := filepath.Join(dir, "containerd.toml")
	text := fmt.Sprintf("version = 3\nroot = %q\nstate = %q\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\", \"io.containerd.cri.v1.images\", \"io.containerd.cri.v1.runtime\"]\n[grpc]\n  address = %q\n",
		filepath.Join(dir, "root"), filepath.Join(dir, "state"), address)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	logFile, err := os.Create(filepath.Join(dir, "containerd.log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary(t, "containerd"), "--config", config)
	cmd.Stdout, cmd.Stderr = logFile, logFile
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // Pdeathsig is about the thread
		started <- cmd.Start()
		if cmd.Process != nil {
			_ = cmd.Wait()
		}
		started <- nil
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-started
		logFile.Close()
	})
	return address
}

// mirror writes the hosts.toml for a registry name.
func (n *node) mirror(domain string, hosts ...string) {
	n.t.Helper()
	var b strings.Builder
	if len(hosts) > 0 {
		fmt.Fprintf(&b, "server = %q\n", hosts[len(hosts)-1])
		for _, h := range hosts[:len(hosts)-1] {
			fmt.Fprintf(&b, "[host.%q]\n", h)
		}
	}
	n.hostsFile(domain, b.String())
}

func (n *node) hostsFile(domain, text string) {
	n.t.Helper()
	dir := filepath.Join(n.certs, domain)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		n.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "hosts.toml"), []byte(text), 0o644); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) pull(ref string) (string, error) {
	return n.pullAuth(ref, nil)
}

func (n *node) pullAuth(ref string, auth *runtimeapi.AuthConfig) (string, error) {
	ctx, cancel := context.WithTimeout(n.t.Context(), time.Minute)
	defer cancel()
	return n.svc.Pull(ctx, &runtimeapi.ImageSpec{Image: ref}, auth, nil)
}

func (n *node) mustPull(ref string) *Image {
	n.t.Helper()
	id, err := n.pull(ref)
	if err != nil {
		n.t.Fatal(err)
	}
	img, err := n.svc.Status(id)
	if err != nil {
		n.t.Fatal(err)
	}
	return img
}

// leftovers lists everything in containerd that is not an image record.
func (n *node) leftovers() []string {
	n.t.Helper()
	var out []string
	ls, err := n.client.LeasesService().List(n.ctx)
	check(n.t, err)
	for _, l := range ls {
		out = append(out, "lease "+l.ID)
	}
	check(n.t, n.client.ContentStore().Walk(n.ctx, func(i content.Info) error {
		out = append(out, "content "+i.Digest.String())
		return nil
	}))
	st, err := n.client.ContentStore().ListStatuses(n.ctx)
	check(n.t, err)
	for _, s := range st {
		out = append(out, "ingest "+s.Ref)
	}
	check(n.t, n.client.SnapshotService("overlayfs").Walk(n.ctx, func(_ context.Context, i snapshots.Info) error {
		out = append(out, "snapshot "+i.Name)
		return nil
	}))
	return out
}

// clean fails the test unless containerd is as empty as a new one.
func (n *node) clean() {
	n.t.Helper()
	if l := n.leftovers(); len(l) > 0 {
		n.t.Errorf("left behind:\n%s", strings.Join(l, "\n"))
	}
	imgs, err := n.client.ImageService().List(n.ctx)
	check(n.t, err)
	for _, i := range imgs {
		n.t.Errorf("left behind: image %s", i.Name)
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// testRegistry is a registry on loopback whose requests can be interfered with.
type testRegistry struct {
	*httptest.Server
	mu   sync.Mutex
	wrap func(http.Handler) http.Handler
	seen []string
}

func newRegistry(t testing.TB) *testRegistry {
	t.Helper()
	inner := ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)))
	r := &testRegistry{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		r.seen = append(r.seen, req.Method+" "+req.URL.Path)
		wrap := r.wrap
		r.mu.Unlock()
		if wrap != nil {
			wrap(inner).ServeHTTP(w, req)
			return
		}
		inner.ServeHTTP(w, req)
	}))
	t.Cleanup(func() {
		r.CloseClientConnections()
		r.Close()
	})
	return r
}

// interfere puts a handler in front of the registry from now on.
func (r *testRegistry) interfere(wrap func(http.Handler) http.Handler) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wrap = wrap
}

// count tells how many requests contained part.
func (r *testRegistry) count(part string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, s := range r.seen {
		if strings.Contains(s, part) {
			n++
		}
	}
	return n
}

func (r *testRegistry) host() string { return strings.TrimPrefix(r.URL, "http://") }

// push stores an image or index under repo:tag.
func (r *testRegistry) push(t testing.TB, repoTag string, what any) {
	t.Helper()
	ref, err := name.ParseReference(r.host()+"/"+repoTag, name.Insecure)
	check(t, err)
	switch v := what.(type) {
	case v1.Image:
		check(t, remote.Write(ref, v))
	case v1.ImageIndex:
		check(t, remote.WriteIndex(ref, v))
	default:
		t.Fatalf("cannot push %T", what)
	}
}

// layerOf makes a layer of files.
func layerOf(t testing.TB, files map[string][]byte) v1.Layer {
	t.Helper()
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	for path, data := range files {
		check(t, tw.WriteHeader(&tar.Header{Name: path, Mode: 0o644, Size: int64(len(data)), Typeflag: tar.TypeReg}))
		_, err := tw.Write(data)
		check(t, err)
	}
	check(t, tw.Close())
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buf.Bytes())), nil })
	check(t, err)
	return l
}

func noise(seed uint64, size int) []byte {
	b := make([]byte, size)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)})
	_, _ = r.Read(b)
	return b
}

// imageOf makes an image of that many layers of that size each.
func imageOf(t testing.TB, seed uint64, layers, size int) v1.Image {
	t.Helper()
	img := empty.Image
	for i := range layers {
		var err error
		img, err = mutate.AppendLayers(img, layerOf(t, map[string][]byte{
			fmt.Sprintf("file%d", i): noise(seed*1000+uint64(i), size),
			"shared":                 []byte(fmt.Sprint(i)),
		}))
		check(t, err)
	}
	return withPlatform(t, img, "linux", runtime.GOARCH)
}

func withPlatform(t testing.TB, img v1.Image, os, arch string) v1.Image {
	t.Helper()
	cf, err := img.ConfigFile()
	check(t, err)
	cf = cf.DeepCopy()
	cf.OS, cf.Architecture = os, arch
	cf.Config.User = "1000:100"
	img, err = mutate.ConfigFile(img, cf)
	check(t, err)
	return img
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("not within 15 s: %s", what)
}

// container makes a container record with a writable snapshot of the image.
func (n *node) container(id string, img *Image) containerd.Container {
	n.t.Helper()
	i, err := n.client.GetImage(n.ctx, img.Name())
	check(n.t, err)
	c, err := n.client.NewContainer(n.ctx, id,
		containerd.WithSnapshotter("overlayfs"), containerd.WithNewSnapshot(id, i), containerd.WithRuntime("io.containerd.runc.v2", nil))
	check(n.t, err)
	return c
}
