package imageservice

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/image-spec/identity"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/internal/budget"
)

func TestLayerStream(t *testing.T) {
	want := noise(1, 20<<20)
	s := newLayerStream()
	waits := 0
	r := s.attach(t.Context(), func() { waits++ }, func() error { return nil })
	if s.attach(t.Context(), nil, nil) != nil {
		t.Error("two readers")
	}
	go func() {
		for b := want; len(b) > 0; {
			n := min(len(b), 100_000)
			s.write(t.Context(), b[:n])
			b = b[n:]
		}
		s.finish(nil)
	}()
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if err := s.wait(t.Context()); err != nil || !s.intact() {
		t.Error(err)
	}
}

func TestLayerStreamGivenUp(t *testing.T) {
	// Without a reader nobody waits for room.
	s := newLayerStream()
	for range 10 {
		s.write(t.Context(), noise(1, 1<<20))
	}
	if s.attach(t.Context(), nil, nil) != nil {
		t.Error("a reader of a stream that lost its beginning")
	}
	// Spoiled in the middle.
	s = newLayerStream()
	r := s.attach(t.Context(), func() {}, func() error { return nil })
	s.write(t.Context(), []byte("abc"))
	b := make([]byte, 3)
	if _, err := io.ReadFull(r, b); err != nil {
		t.Error(err)
	}
	s.spoil()
	if _, err := r.Read(b); !errors.Is(err, errSpoiled) {
		t.Error(err)
	}
	// A closed reader lets the writer go on; an ended context wakes both.
	s = newLayerStream()
	ctx, cancel := context.WithCancelCause(t.Context())
	r = s.attach(ctx, func() {}, func() error { return nil })
	done := make(chan struct{})
	go func() {
		for range 10 {
			s.write(ctx, noise(1, 1<<20))
		}
		close(done)
	}()
	r.Close()
	<-done
	s = newLayerStream()
	r = s.attach(ctx, func() {}, func() error { return nil })
	cancel(errNobodyWaits)
	if _, err := r.Read(b); !errors.Is(err, errNobodyWaits) {
		t.Error(err)
	}
}

func TestReadAhead(t *testing.T) {
	want := noise(2, 3_000_001)
	a := newReadAhead(bytes.NewReader(want))
	got, err := io.ReadAll(a)
	a.Close()
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	// A truncated gzip stream is an error, not an end.
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	_, _ = w.Write(want)
	w.Close()
	plain, err := (&decoders{}).open(bytes.NewReader(z.Bytes()[:z.Len()/2]))
	check(t, err)
	a = newReadAhead(plain)
	if _, err = io.ReadAll(a); err != io.ErrUnexpectedEOF {
		t.Errorf("truncated: %v", err)
	}
	a.Close()
	// Closed early.
	a = newReadAhead(bytes.NewReader(want))
	_, _ = a.Read(make([]byte, 10))
	a.Close()
}

// entry is one tar entry of a test layer.
type entry struct {
	tar.Header
	data string
}

func tarOf(t *testing.T, entries ...entry) []byte {
	t.Helper()
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	for _, e := range entries {
		h := e.Header
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if h.Mode == 0 {
			h.Mode = 0o755
		}
		h.Size = int64(len(e.data))
		h.Format = tar.FormatPAX
		check(t, tw.WriteHeader(&h))
		_, err := tw.Write([]byte(e.data))
		check(t, err)
	}
	check(t, tw.Close())
	return buf.Bytes()
}

func tarLayer(t *testing.T, raw []byte) v1.Layer {
	t.Helper()
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(raw)), nil })
	check(t, err)
	return l
}

// encodedLayer is a layer in a compression that the library does not write.
type encodedLayer struct {
	v1.Layer
	raw       []byte
	mediaType types.MediaType
}

func (l encodedLayer) Digest() (v1.Hash, error) {
	h, _, err := v1.SHA256(bytes.NewReader(l.raw))
	return h, err
}
func (l encodedLayer) Size() (int64, error)                { return int64(len(l.raw)), nil }
func (l encodedLayer) MediaType() (types.MediaType, error) { return l.mediaType, nil }
func (l encodedLayer) Compressed() (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(l.raw)), nil
}

// oddImage has what is hard about layers.
func oddImage(t *testing.T) v1.Image {
	t.Helper()
	first := tarOf(t,
		entry{Header: tar.Header{Name: "./", Typeflag: tar.TypeDir, Mode: 0o751}},
		entry{Header: tar.Header{Name: "dir/", Typeflag: tar.TypeDir, Mode: 0o1777, Uid: 7, Gid: 8}},
		entry{Header: tar.Header{Name: "dir/gone"}, data: "gone"},
		entry{Header: tar.Header{Name: "dir/stays", Uid: 1000, Gid: 2000, ModTime: time.Unix(1e9, 0)}, data: "stays"},
		entry{Header: tar.Header{Name: "opaque/", Typeflag: tar.TypeDir}},
		entry{Header: tar.Header{Name: "opaque/old"}, data: "old"},
		entry{Header: tar.Header{Name: "setuid", Mode: 0o4755}, data: "x"},
		entry{Header: tar.Header{Name: "link", Typeflag: tar.TypeSymlink, Linkname: "dir/stays"}},
		entry{Header: tar.Header{Name: "hard", Typeflag: tar.TypeLink, Linkname: "dir/stays"}},
		entry{Header: tar.Header{Name: "null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3, Mode: 0o666}},
		entry{Header: tar.Header{Name: "cap", PAXRecords: map[string]string{"SCHILY.xattr.user.note": "hello"}}, data: "c"},
		entry{Header: tar.Header{Name: "deep/er/file"}, data: strings.Repeat("deep", 50_000)},
		entry{Header: tar.Header{Name: "noted/", Typeflag: tar.TypeDir, Mode: 0o2770, Uid: 9, PAXRecords: map[string]string{"SCHILY.xattr.user.note": "dir"}}},
		entry{Header: tar.Header{Name: "noted/in/", Typeflag: tar.TypeDir, Mode: 0o700, Gid: 9}},
		entry{Header: tar.Header{Name: "by/", Typeflag: tar.TypeDir, Mode: 0o711}},
		entry{Header: tar.Header{Name: "way", Typeflag: tar.TypeSymlink, Linkname: "by"}},
		entry{Header: tar.Header{Name: "late/", Typeflag: tar.TypeDir, Mode: 0o700}},
	)
	second := tarOf(t,
		entry{Header: tar.Header{Name: "dir/.wh.gone"}},
		entry{Header: tar.Header{Name: "opaque/", Typeflag: tar.TypeDir}},
		entry{Header: tar.Header{Name: "opaque/.wh..wh..opq"}},
		entry{Header: tar.Header{Name: "opaque/new"}, data: "new"},
		entry{Header: tar.Header{Name: "deep/er/second"}, data: "2"},
		entry{Header: tar.Header{Name: "../../escape"}, data: "no"},
		entry{Header: tar.Header{Name: "noted/in/file"}, data: "n"},
		entry{Header: tar.Header{Name: "way/file"}, data: "w"},
		entry{Header: tar.Header{Name: "late/file"}, data: "l"},
		entry{Header: tar.Header{Name: "late/", Typeflag: tar.TypeDir, Mode: 0o750}},
		entry{Header: tar.Header{Name: "new/er/file"}, data: "n"},
		entry{Header: tar.Header{Name: "hard/file"}, data: "in place of a file"},
	)
	third := tarOf(t,
		entry{Header: tar.Header{Name: "zstd"}, data: strings.Repeat("z", 100_000)},
		entry{Header: tar.Header{Name: "dir/third"}, data: "3"},
	)
	enc, err := zstd.NewWriter(nil)
	check(t, err)
	fourth := tarOf(t, entry{Header: tar.Header{Name: "plain"}, data: "plain"})
	img, err := mutate.AppendLayers(mutate.MediaType(empty.Image, types.OCIManifestSchema1),
		tarLayer(t, first), tarLayer(t, second),
		encodedLayer{tarLayer(t, third), enc.EncodeAll(third, nil), "application/vnd.oci.image.layer.v1.tar+zstd"},
		encodedLayer{tarLayer(t, fourth), fourth, "application/vnd.oci.image.layer.v1.tar"},
		tarLayer(t, second), // the same layer once more
	)
	check(t, err)
	return withPlatform(t, mutate.ConfigMediaType(img, types.OCIConfigJSON), "linux", "amd64")
}

// listing describes every file of a mounted image.
func listing(t *testing.T, n *node, img *Image) string {
	t.Helper()
	mounts, err := n.svc.PrepareImageMount(t.Context(), img, "listing")
	check(t, err)
	defer func() { check(t, n.svc.RemoveImageMount(t.Context(), "listing")) }()
	return listingOf(t, mounts)
}

func listingOf(t *testing.T, mounts []mount.Mount) string {
	t.Helper()
	var lines []string
	check(t, mount.WithReadonlyTempMount(t.Context(), mounts, func(root string) error {
		return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			lines = append(lines, describe(t, root, path))
			return nil
		})
	}))
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}

func describe(t *testing.T, root, path string) string {
	t.Helper()
	info, err := os.Lstat(path)
	check(t, err)
	st := info.Sys().(*syscall.Stat_t)
	rel, _ := filepath.Rel(root, path)
	line := fmt.Sprintf("%s %s %d:%d dev %d", rel, info.Mode(), st.Uid, st.Gid, st.Rdev)
	if info.Mode()&fs.ModeSymlink != 0 {
		target, _ := os.Readlink(path)
		line += " -> " + target
	}
	if info.Mode().IsRegular() {
		b, err := os.ReadFile(path)
		check(t, err)
		line += fmt.Sprintf(" links %d mtime %d: %.20q (%d)", st.Nlink, info.ModTime().Unix()/1e8, b, len(b))
	}
	attr := make([]byte, 100)
	if k, err := syscall.Getxattr(path, "user.note", attr); err == nil {
		line += " note " + string(attr[:k])
	}
	return line
}

// byClient is what containerd's client makes of an image, one layer after the other.
func byClient(t *testing.T, ref string) string {
	t.Helper()
	n := newNode(t, Options{})
	clientPull(t, n, ref)
	img, err := n.client.GetImage(n.ctx, ref)
	check(t, err)
	diffs, err := img.RootFS(n.ctx)
	check(t, err)
	mounts, err := n.client.SnapshotService("overlayfs").View(n.ctx, "listing", identity.ChainID(diffs).String())
	check(t, err)
	return listingOf(t, mounts)
}

// Streaming gives the same files as containerd's own unpacking.
func TestStreamedLikeContainerd(t *testing.T) {
	reg := newRegistry(t)
	reg.push(t, "odd:1", oddImage(t))
	want := byClient(t, reg.host()+"/odd:1")
	var got [3]string
	for i, opts := range []Options{{}, {DisableStreaming: true}, {MaxParallelLayers: 1, MaxParallelUnpacks: 1}} {
		n := newNode(t, opts)
		n.mirror("registry.example", reg.URL)
		img := n.mustPull("registry.example/odd:1")
		got[i] = listing(t, n, img)
		check(t, n.svc.Remove(t.Context(), img.ID))
		n.clean()
	}
	if got[0] != want || got[1] != want || got[2] != want {
		t.Errorf("containerd's client:\n%s\n\nstreamed:\n%s\n\nby containerd:\n%s\n\none at a time:\n%s", want, got[0], got[1], got[2])
	}
	for _, want := range []string{"dir/stays ", "opaque/new ", "zstd ", "plain ", "escape ", "note hello", "setuid urwxr",
		"dir dtrwxrwxrwx 7:8", "noted dgrwxrwx--- 9:0 dev 0 note dir", "noted/in drwx------ 0:9", "late drwxr-x---", "new/er drwxr-xr-x 0:0"} {
		if !strings.Contains(got[0], want) {
			t.Errorf("no %q in\n%s", want, got[0])
		}
	}
	for _, gone := range []string{"dir/gone", "opaque/old", ".wh."} {
		if strings.Contains(got[0], gone) {
			t.Errorf("%q is still in\n%s", gone, got[0])
		}
	}
}

// A registry that hangs in the middle of its layers keeps nobody else from
// unpacking.
func TestHungPullBlocksNobody(t *testing.T) {
	hung, good := newRegistry(t), newRegistry(t)
	hung.push(t, "a:1", imageOf(t, 40, 6, 500_000))
	good.push(t, "b:1", imageOf(t, 41, 6, 500_000))
	hung.interfere(onBlobs(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		_, b := body(next, r)
		if len(b) < 10_000 {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(b)))
		_, _ = w.Write(b[:len(b)/2])
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	n := newNode(t, Options{MaxParallelUnpacks: 1})
	n.mirror("hung.example", hung.URL)
	n.mirror("good.example", good.URL)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		_, _ = n.svc.Pull(ctx, &runtimeapi.ImageSpec{Image: "hung.example/a:1"}, nil, nil)
	}()
	eventually(t, "the pull hangs", func() bool { p := n.svc.Pulls(); return len(p) == 1 && p[0].BytesDone > 1_400_000 })
	img := n.mustPull("good.example/b:1")
	checkFiles(t, n, img, 6)
	cancel()
	wg.Wait()
	check(t, n.svc.Remove(t.Context(), img.ID))
	eventually(t, "the hung pull is undone", func() bool { return len(n.svc.Pulls()) == 0 })
	n.clean()
}

// Images that share layers, pulled at once: each layer comes once.
func TestSharedLayersAtOnce(t *testing.T) {
	reg := newRegistry(t)
	base := imageOf(t, 42, 3, 300_000)
	const count = 6
	for i := range count {
		img, err := mutate.AppendLayers(base, layerOf(t, map[string][]byte{fmt.Sprintf("own%d", i): noise(uint64(900+i), 1000)}))
		check(t, err)
		reg.push(t, fmt.Sprintf("i%d:1", i), img)
	}
	n := newNode(t, Options{})
	n.mirror("registry.example", reg.URL)
	var wg sync.WaitGroup
	for i := range count {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if _, err := n.pull(fmt.Sprintf("registry.example/i%d:1", i)); err != nil {
				t.Error(err)
			}
		}()
	}
	wg.Wait()
	layers, err := base.Layers()
	check(t, err)
	for _, l := range layers {
		h, _ := l.Digest()
		if got := reg.count("GET /v2/"); reg.count(h.String()) == 0 || got == 0 {
			t.Error("no requests")
		}
		gets := 0
		for i := range count {
			gets += reg.count(fmt.Sprintf("GET /v2/i%d/blobs/%s", i, h))
		}
		if gets != 1 {
			t.Errorf("layer %s was fetched %d times", h, gets)
		}
	}
	if left := n.svc.streamed.Load(); left != 0 {
		t.Errorf("%d bytes of layers on the way after all pulls", left)
	}
	imgs := n.svc.List(nil)
	if len(imgs) != count {
		t.Fatalf("%d images", len(imgs))
	}
	for i, img := range imgs {
		if i%2 == 0 {
			check(t, n.svc.Remove(t.Context(), img.ID))
			continue
		}
		checkFiles(t, n, img, 3)
	}
	for _, img := range n.svc.List(nil) {
		check(t, n.svc.Remove(t.Context(), img.ID))
	}
	n.clean()
}

// TestStreamsHoldLittle writes to many streams that nobody reads fast enough.
func TestStreamsHoldLittle(t *testing.T) {
	var all streamMemory
	all.Store(budget.LayersOnTheWay + 1) // what the streams of others hold
	s := newLayerStream()
	s.all = &all
	r := s.attach(t.Context(), func() {}, func() error { return nil })
	data := noise(3, 3<<20)
	go func() {
		for part := range slices.Chunk(data, 100_000) {
			s.write(t.Context(), part)
			if n := all.Load(); n > budget.LayersOnTheWay+1+2*chunkSize {
				t.Errorf("%d bytes wait", n-budget.LayersOnTheWay-1)
			}
		}
		s.finish(nil)
	}()
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d of %d bytes: %v", len(got), len(data), err)
	}
	late := newLayerStream()
	late.all = &all
	late.write(t.Context(), data)
	if late.intact() {
		t.Error("bytes wait for a reader that has not come")
	}
	check(t, r.Close())
	if n := all.Load(); n != budget.LayersOnTheWay+1 {
		t.Errorf("%d bytes are counted that are gone", n-budget.LayersOnTheWay-1)
	}
}
