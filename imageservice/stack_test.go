package imageservice

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/pkg/archive"
	"golang.org/x/sys/unix"

	"github.com/berth-run/berth/internal/budget"
)

// stack is where the layers of an image are unpacked: a directory each, and beside them a tree that
// belongs to somebody else.
type stack struct {
	top    string
	layers int
}

func (s stack) layer(n int) string { return filepath.Join(s.top, "layers", fmt.Sprint(n)) }

// below are the directories of the layers below one, the uppermost first.
func (s stack) below(n int) []string {
	var out []string
	for n--; n >= 0; n-- {
		out = append(out, s.layer(n))
	}
	return out
}

// newStack makes directories for layers, and what must not change.
func newStack(t testing.TB, layers int) stack {
	t.Helper()
	s := stack{t.TempDir(), layers}
	for n := range layers {
		check(t, os.MkdirAll(s.layer(n), 0o755))
	}
	for _, dir := range []string{"host", "host/sub", "host/sub/sub"} {
		path := filepath.Join(s.top, dir)
		check(t, os.Mkdir(path, 0o700))
		check(t, os.WriteFile(filepath.Join(path, "f"), []byte("the host's"), 0o600))
		check(t, unix.Setxattr(path, "user.owner", []byte("host"), 0))
		check(t, unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{{Sec: 1}, {Sec: 1}}, 0))
	}
	return s
}

// unpack unpacks the layers as a pull does: each without those below, in any order, and then puts each on its parent.
func (s stack) unpack(archives [][]byte) error {
	var implied impliedDirs
	for n := len(archives) - 1; n >= 0; n-- {
		d := layerDir{path: s.layer(n), overlay: n > 0, implied: &implied}
		if err := d.extract(context.Background(), bytes.NewReader(archives[n])); err != nil {
			return err
		}
	}
	for n := range archives {
		if err := inherit(context.Background(), s.layer(n), implied.take(s.layer(n)), s.below(n)); err != nil {
			return err
		}
	}
	return nil
}

// unpackAsContainerd unpacks one layer after the other, each with those below.
func (s stack) unpackAsContainerd(archives [][]byte) error {
	for n, raw := range archives {
		opts := []archive.ApplyOpt{archive.WithParents(s.below(n))}
		if n > 0 {
			opts = append(opts, archive.WithConvertWhiteout(archive.OverlayConvertWhiteout))
		}
		if _, err := archive.Apply(context.Background(), s.layer(n), bytes.NewReader(raw), opts...); err != nil {
			return err
		}
	}
	return nil
}

// sameStack unpacks layers in both ways. Whatever they hold, the host's tree stays as it was, and the layers become
// what containerd makes of them; one that containerd refuses may be anything within its directory.
func sameStack(t *testing.T, archives [][]byte) {
	t.Helper()
	want, got := newStack(t, len(archives)), newStack(t, len(archives))
	host := tree(t, filepath.Join(got.top, "host"))
	beside := names(t, filepath.Join(got.top, "layers"))
	wantErr, gotErr := want.unpackAsContainerd(hostIn(archives, want.top)), got.unpack(hostIn(archives, got.top))
	if now := tree(t, filepath.Join(got.top, "host")); !slices.Equal(now, host) {
		t.Errorf("the host's tree is\n%s\nafter unpacking, it was\n%s", strings.Join(now, "\n"), strings.Join(host, "\n"))
	}
	if now := names(t, filepath.Join(got.top, "layers")); !slices.Equal(now, beside) {
		t.Errorf("beside the layers there is %q, there was %q", now, beside)
	}
	// containerd also refuses a layer that implies a directory and then replaces it, if links below go in circles.
	if gotErr != nil && wantErr == nil {
		t.Errorf("unpacking: %v; containerd has no objection", gotErr)
	}
	if wantErr != nil {
		return
	}
	for n := range archives {
		w, g := timeless(tree(t, want.layer(n)), want.top), timeless(tree(t, got.layer(n)), got.top)
		if !slices.Equal(w, g) {
			t.Errorf("layer %d is\n%s\nnot\n%s", n, strings.Join(g, "\n"), strings.Join(w, "\n"))
		}
	}
}

// directoryTimes is when a directory changed, in a line of tree.
var directoryTimes = regexp.MustCompile(`( 4[0-7]{4} .* device 0, )[^,]*,`)

// timeless takes from the lines of a tree where it lies, and when its directories changed: containerd gives an
// implied directory the time that it has below, which stays if nothing is made in it any more.
func timeless(lines []string, top string) []string {
	for i, line := range lines {
		lines[i] = directoryTimes.ReplaceAllString(strings.ReplaceAll(line, strings.TrimPrefix(top, "/"), "TOP"), "$1")
	}
	return lines
}

// hostMark stands in an archive for the path of the tree beside the layers.
const hostMark = "/HOST-HOST-HOST"

// hostIn names the host's tree in links of the archives.
func hostIn(archives [][]byte, top string) [][]byte {
	out := make([][]byte, len(archives))
	for n, raw := range archives {
		var b bytes.Buffer
		r, w := tar.NewReader(bytes.NewReader(raw)), tar.NewWriter(&b)
		for {
			h, err := r.Next()
			if err != nil {
				break
			}
			h.Linkname = strings.ReplaceAll(h.Linkname, hostMark, top)
			h.Format = tar.FormatPAX
			if w.WriteHeader(h) != nil {
				break
			}
			_, _ = io.Copy(w, r)
		}
		_ = w.Close()
		out[n] = b.Bytes()
	}
	return out
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	check(t, err)
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

// owned is a directory that its layer gives away.
func owned(name string) packed {
	return with(dir(name), func(h *tar.Header) {
		h.Mode, h.Uid, h.Gid = 0o777, 4242, 4243
		h.PAXRecords = map[string]string{xattrRecord + "user.colour": "red"}
	})
}

// TestImpliedThroughLink has layers in which a directory, noted as one to complete, turns into a link, or comes to
// lie behind one: nothing is completed where the link leads.
func TestImpliedThroughLink(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: files have owners")
	}
	below := []packed{owned("x/"), owned("x/sub/"), owned("x/sub/sub/")}
	for name, entries := range map[string][]packed{
		"parent out of the layer":   {file("x/sub/f", "1"), link(tar.TypeSymlink, "x", hostMark+"/host")},
		"itself out of the layer":   {file("x/sub/f", "1"), link(tar.TypeSymlink, "x/sub", hostMark+"/host")},
		"grandparent, relative":     {file("x/sub/sub/f", "1"), link(tar.TypeSymlink, "x", "../../host")},
		"into the layer below":      {file("x/sub/f", "1"), link(tar.TypeSymlink, "x", hostMark+"/layers/0")},
		"to a directory of its own": {file("x/sub/f", "1"), file("y/sub/f", "1"), link(tar.TypeSymlink, "x", "y")},
		"a file":                    {file("x/sub/f", "1"), file("x", "a file")},
		"made anew behind a link":   {file("x/sub/f", "1"), link(tar.TypeSymlink, "x", "y"), file("x/sub/f", "2")},
		"still there":               {file("x/sub/f", "1"), file("x/sub/sub/g", "2")},
	} {
		t.Run(name, func(t *testing.T) { sameStack(t, [][]byte{pack(t, below...), pack(t, entries...)}) })
	}
}

// TestStacks unpacks layers whose entries come in any order, as anything, with links to everywhere.
func TestStacks(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: files have owners")
	}
	for seed := range uint64(120) {
		rng := rand.New(rand.NewPCG(seed, 7))
		sameStack(t, randomStack(t, rng.IntN))
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// randomStack has the archives of two to four layers; intN chooses as rand.IntN does.
func randomStack(t *testing.T, intN func(int) int) [][]byte {
	var out [][]byte
	for n := range 2 + intN(3) {
		var entries []packed
		for range 1 + intN(8) {
			// An opaque directory of the bottom layer hides nothing here, see TestOpaqueBottom.
			if e := randomEntry(intN); n > 0 || !strings.Contains(e.Name, opaque) {
				entries = append(entries, e)
			}
		}
		raw, err := packAs(tar.FormatPAX, entries...)
		check(t, err)
		out = append(out, raw)
	}
	return out
}

func randomEntry(intN func(int) int) packed {
	parts := []string{"x", "sub", "y", "sub", "..", whiteout + "x", whiteout + "sub", opaque, whiteout + ".", whiteout + ".."}
	var path []string
	for range 1 + intN(4) {
		path = append(path, parts[min(intN(len(parts)), intN(len(parts)))])
	}
	name := strings.Join(path, "/")
	targets := []string{hostMark + "/host", "../../host", "../host", "x", "y/sub", "/", "..", hostMark + "/layers/0", "/x"}
	switch intN(6) {
	case 0:
		return owned(name + "/")
	case 1:
		return dir(name + "/")
	case 2:
		return link(tar.TypeSymlink, name, targets[intN(len(targets))])
	case 3:
		return link(tar.TypeLink, name, []string{"x/f", "sub/f", "../host/f", "y/sub/f", "x"}[intN(5)])
	}
	return file(name+"/f", "content")
}

// FuzzStack lets the fuzzer choose what TestStacks leaves to chance.
func FuzzStack(f *testing.F) {
	if os.Geteuid() != 0 {
		f.Skip("needs root: files have owners")
	}
	f.Add([]byte("\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09"))
	f.Add([]byte("\x00\x02\x00\x00\x01\x05\x03\x01\x00\x00\x02\x00\x00\x02\x00\x05\x02\x00\x00\x01\x02\x00"))
	f.Fuzz(func(t *testing.T, choices []byte) {
		next := 0
		sameStack(t, randomStack(t, func(n int) int {
			next++
			if next > len(choices) {
				return 0
			}
			return int(choices[next-1]) % n
		}))
	})
}

// FuzzExtract unpacks any bytes as the upper layer of two: nothing beside the layers changes.
func FuzzExtract(f *testing.F) {
	if os.Geteuid() != 0 {
		f.Skip("needs root: files have owners")
	}
	for _, entries := range [][]packed{
		{file("x/sub/f", "1"), link(tar.TypeSymlink, "x", hostMark+"/host")},
		{dir("a/"), link(tar.TypeLink, "b", "a"), file(".wh.a", "")},
		{with(file("a", "1"), func(h *tar.Header) { h.PAXRecords = map[string]string{xattrRecord + "user.colour": "red"} })},
	} {
		raw, err := packAs(tar.FormatPAX, entries...)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		s := newStack(t, 2)
		host := tree(t, filepath.Join(s.top, "host"))
		_ = s.unpack([][]byte{pack(t, owned("x/"), owned("x/sub/")), bytes.ReplaceAll(raw, []byte(hostMark+"/host"), []byte("../../host\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"))})
		if now := tree(t, filepath.Join(s.top, "host")); !slices.Equal(now, host) {
			t.Errorf("the host's tree is\n%s\nit was\n%s", strings.Join(now, "\n"), strings.Join(host, "\n"))
		}
	})
}

// TestPathDepth: a name as deep as the budget allows is unpacked and completed, a deeper one is refused.
func TestPathDepth(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: files have owners")
	}
	deep := strings.Repeat("d/", budget.PathDepth-1)
	sameStack(t, [][]byte{pack(t, owned("d/"), owned("d/d/")), pack(t, file(deep+"f", "1"))})
	for _, e := range []packed{file(deep+"d/f", "1"), link(tar.TypeLink, "l", deep+"d/f")} {
		err := layerDir{path: t.TempDir(), overlay: true}.extract(context.Background(), bytes.NewReader(pack(t, e)))
		if err == nil || !strings.Contains(err.Error(), "components") {
			t.Errorf("%s of %d components: %v", e.Name[:10], budget.PathDepth+1, err)
		}
	}
}

// TestInheritIsGivenUp: completing a layer ends with its pull.
func TestInheritIsGivenUp(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := inherit(ctx, t.TempDir(), []string{"d"}, nil); err != context.Canceled {
		t.Errorf("got %v", err)
	}
}
