package imageservice

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/pkg/archive"
	"golang.org/x/sys/unix"
)

// someTime is when the files of the archives were made.
var someTime = time.Unix(1600000000, 123456789)

// packed is an archive of entries; a name that ends with a slash is a directory, content is what a
// link leads to.
type packed struct {
	tar.Header
	content string
}

func file(name, content string) packed {
	return packed{tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644}, content}
}

func dir(name string) packed {
	return packed{tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: 0o751, Uid: 3, Gid: 4}, ""}
}

func link(typ byte, name, to string) packed {
	return packed{tar.Header{Name: name, Typeflag: typ, Linkname: to, Mode: 0o777}, ""}
}

func with(p packed, change func(*tar.Header)) packed {
	change(&p.Header)
	return p
}

func pack(t *testing.T, entries ...packed) []byte {
	t.Helper()
	raw, err := packAs(tar.FormatPAX, entries...)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// packAs fails for what a format cannot have.
func packAs(format tar.Format, entries ...packed) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := e.Header
		h.Size, h.Format = int64(len(e.content)), format
		if h.ModTime.IsZero() {
			h.ModTime = someTime
		}
		if format != tar.FormatPAX {
			h.ModTime = h.ModTime.Truncate(time.Second)
		}
		if err := w.WriteHeader(&h); err != nil {
			return nil, err
		}
		if _, err := io.WriteString(w, e.content); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return b.Bytes(), err
}

// sparse is an archive with a file that has holes, in the form of PAX 1.0. archive/tar does not write such.
func sparse(t *testing.T) []byte {
	data := "1\n4096\n5\n"
	data += strings.Repeat("\x00", tarBlock-len(data)) + "hello"
	raw := pack(t, file("before", "1"), with(file("GNUSparseFile.0/holes", data), func(h *tar.Header) {
		h.PAXRecords = map[string]string{
			"GNX.sparse.major": "1", "GNX.sparse.minor": "0", "GNX.sparse.name": "holes", "GNX.sparse.realsize": "8192",
		}
	}), file("after", "2"))
	return bytes.ReplaceAll(raw, []byte("GNX.sparse."), []byte(sparseRecord))
}

// tree describes everything below a directory.
func tree(t *testing.T, root string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		name, _ := filepath.Rel(root, path)
		content := ""
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			content = fmt.Sprintf("%d %.20q", len(b), b)
		case unix.S_IFLNK:
			content, _ = os.Readlink(path)
		}
		times := when(st.Mtim)
		if st.Mode&unix.S_IFMT == unix.S_IFREG {
			times += " " + when(st.Atim)
		}
		attrs := make([]byte, 1024)
		n, _ := unix.Llistxattr(path, attrs)
		attrNames := strings.Split(strings.TrimRight(string(attrs[:max(n, 0)]), "\x00"), "\x00")
		slices.Sort(attrNames)
		out = append(out, fmt.Sprintf("%s %o %d:%d %d links, device %d, %s, [%s] %s", name, st.Mode, st.Uid, st.Gid,
			st.Nlink, st.Rdev, times, strings.Join(attrNames, ","), content))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

func when(ts unix.Timespec) string {
	at := time.Unix(ts.Unix())
	if time.Since(at) < time.Hour {
		return "now"
	}
	return at.UTC().Format(time.RFC3339Nano)
}

// TestSmallFiles: archives of every kind become what containerd's package alone makes of them.
func TestSmallFiles(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: files have owners")
	}
	outside := t.TempDir()
	for name, entries := range map[string][]packed{
		"plain":                        {dir("a/"), file("a/b", "1"), file("a/c", ""), dir("a/d/"), file("a/d/e", "2"), file("a/f", "3"), file("top", "4")},
		"no parents":                   {file("x/y/z", "1"), file("x/y/w", "2"), file("x/v", "3")},
		"odd names":                    {file("./a", "1"), file("/b", "2"), file("../c", "3"), file("d/../e", "4"), file("f//g", "6")},
		"long name":                    {file(strings.Repeat("n", 200)+"/"+strings.Repeat("m", 200), "1"), file("täst", "2")},
		"owner and mode":               {with(file("su", "1"), func(h *tar.Header) { h.Mode, h.Uid, h.Gid = 0o6755, 1000, 70000 }), with(file("none", "2"), func(h *tar.Header) { h.Mode = 0 })},
		"setgid parent":                {with(dir("g/"), func(h *tar.Header) { h.Mode = 0o2775 }), file("g/f", "1")},
		"access time":                  {with(file("a", "1"), func(h *tar.Header) { h.AccessTime = someTime.Add(time.Hour) })},
		"before 1970":                  {with(file("a", "1"), func(h *tar.Header) { h.ModTime = time.Unix(-5, 0) }), with(file("b", "1"), func(h *tar.Header) { h.ModTime = time.Unix(1<<40, 0) })},
		"attributes":                   {with(file("a", "1"), func(h *tar.Header) { h.PAXRecords = map[string]string{xattrRecord + "user.colour": "red"} }), file("b", "2")},
		"twice":                        {file("a", "1"), file("a", "22"), dir("d/"), file("d/f", "1"), file("d", "file now"), file("d/g", "not below a file")},
		"link on the way":              {dir("real/"), link(tar.TypeSymlink, "l", "real"), file("l/f", "1"), file("real/g", "2"), link(tar.TypeSymlink, "abs", "/real"), file("abs/h", "3")},
		"link out":                     {link(tar.TypeSymlink, "out", outside), file("out/f", "1"), link(tar.TypeSymlink, "up", "../../.."), file("up/g", "2")},
		"over a link":                  {link(tar.TypeSymlink, "f", filepath.Join(outside, "victim")), file("f", "1")},
		"directory that became a link": {dir("a/"), file("a/f", "1"), dir("b/"), link(tar.TypeSymlink, "a", "b"), file("a/f", "2"), file("a/g", "3")},
		"hard links":                   {file("a", "1"), link(tar.TypeLink, "b", "a"), file("a", "new"), link(tar.TypeLink, "c", "b")},
		"whiteouts":                    {dir("d/"), file("d/.wh.gone", ""), file("d/.wh..wh..opq", ""), file("d/new", "1"), file(".wh.old", "")},
		"hidden and there":             {file("d/.wh.f", ""), file("d/f", "1"), file("e/g", "1"), file("e/.wh.g", "")},
		"opaque at the end":            {dir("d/"), file("d/f", "1"), file("d/.wh..wh..opq", "")},
		"devices": {with(link(tar.TypeFifo, "p", ""), func(h *tar.Header) { h.Mode = 0o600 }), file("p", "no pipe any more"),
			with(link(tar.TypeChar, "null", ""), func(h *tar.Header) { h.Devmajor, h.Devminor = 1, 3 }), file("after", "1")},
		"sizes": {file("block", strings.Repeat("b", tarBlock)), file("more", strings.Repeat("m", tarBlock+1)), file("most", strings.Repeat("x", smallFile)),
			file("large", strings.Repeat("l", smallFile+1)), file("last", "1")},
	} {
		archives := map[string][]byte{"PAX": pack(t, entries...)}
		for _, format := range []tar.Format{tar.FormatUSTAR, tar.FormatGNU} {
			if raw, err := packAs(format, entries...); err == nil {
				archives[format.String()] = raw
			}
		}
		for format, raw := range archives {
			t.Run(name+"/"+format, func(t *testing.T) { sameAsContainerd(t, raw) })
		}
	}
	t.Run("sparse", func(t *testing.T) { sameAsContainerd(t, sparse(t)) })
	if entries := tree(t, outside); len(entries) != 0 {
		t.Errorf("files outside: %v", entries)
	}
}

// sameAsContainerd unpacks an archive in both ways, as a bottom layer and as one on others.
func sameAsContainerd(t *testing.T, raw []byte) {
	t.Helper()
	for _, overlay := range []bool{false, true} {
		var opts []archive.ApplyOpt
		if overlay {
			opts = append(opts, archive.WithConvertWhiteout(archive.OverlayConvertWhiteout))
		}
		want, got := t.TempDir(), t.TempDir()
		_, wantErr := archive.Apply(context.Background(), want, bytes.NewReader(raw), opts...)
		gotErr := layerDir{path: got, overlay: overlay}.extract(context.Background(), newSlow(raw))
		w, g := tree(t, want), tree(t, got)
		if (wantErr == nil) != (gotErr == nil) || !slices.Equal(w, g) {
			t.Errorf("overlay %t: there is\n%s\n%v\nnot\n%s\n%v", overlay,
				strings.Join(g, "\n"), gotErr, strings.Join(w, "\n"), wantErr)
		}
	}
}

// newSlow reads in pieces that do not fit blocks.
func newSlow(raw []byte) io.Reader { return &pieces{raw} }

type pieces struct{ rest []byte }

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), 300)], p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

// TestSmallFilesAreTaken: what is plain does not take the long way.
func TestSmallFilesAreTaken(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: files have owners")
	}
	raw := pack(t, dir("a/"), file("a/b", "1"), file("a/c", ""), file("d/first", "1"), file("d/second", "2"), file("e", strings.Repeat("x", 5000)))
	root := t.TempDir()
	stream := &tarStream{r: bytes.NewReader(raw)}
	files, err := newSmallFiles(root, stream)
	if err != nil {
		t.Fatal(err)
	}
	defer files.close()
	var left []string
	_, err = archive.Apply(context.Background(), root, stream, archive.WithFilter(func(hdr *tar.Header) (bool, error) {
		leave, err := files.filter(hdr)
		if leave {
			left = append(left, hdr.Name)
		}
		return leave, err
	}))
	if err != nil || !slices.Equal(left, []string{"a", "d/first"}) {
		t.Errorf("left to containerd: %v; %v", left, err)
	}
}

// TestSmallFilesCutOff: the end of an archive within a file is an error, wherever it is.
func TestSmallFilesCutOff(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: files have owners")
	}
	raw := pack(t, file("a", strings.Repeat("x", 2000)), file("b", "1"))
	whole := len(raw) - 2*tarBlock // the end is two empty blocks, which many leave out
	for cut := 1; cut < whole; cut += 100 {
		d := layerDir{path: t.TempDir()}
		_, want := archive.Apply(context.Background(), t.TempDir(), bytes.NewReader(raw[:cut]))
		if got := d.extract(context.Background(), bytes.NewReader(raw[:cut])); (got == nil) != (want == nil) {
			t.Errorf("cut after %d bytes: %v, containerd: %v", cut, got, want)
		}
	}
}

// TestSmallFilesRandomly: so do archives in which names come again as something else.
func TestSmallFilesRandomly(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: files have owners")
	}
	names := []string{"a", "b", "a/b", "a/c", "b/a", "a/b/c", "b/a/c"}
	types := []byte{tar.TypeReg, tar.TypeReg, tar.TypeReg, tar.TypeDir, tar.TypeSymlink, tar.TypeLink, 'w'}
	for seed := range uint64(500) {
		rng := rand.New(rand.NewPCG(seed, 0))
		pick := func() string { return names[rng.IntN(len(names))] }
		var entries []packed
		for n := range 12 {
			name := pick()
			switch typ := types[rng.IntN(len(types))]; typ {
			case tar.TypeReg:
				entries = append(entries, file(name, fmt.Sprint("content ", n)))
			case tar.TypeDir:
				entries = append(entries, dir(name+"/"))
			case 'w':
				at, base := filepath.Split(name)
				entries = append(entries, file(at+whiteout+base, ""))
			default:
				entries = append(entries, link(typ, name, pick()))
			}
		}
		sameAsContainerd(t, pack(t, entries...))
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// TestOpaqueBottom: an opaque directory hides nothing of its own layer, not even where a directory on
// the way has no entry.
func TestOpaqueBottom(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: files have owners")
	}
	root := t.TempDir()
	raw := pack(t, file("d/e/f", "1"), file("d/.wh..wh..opq", ""))
	if err := (layerDir{path: root}).extract(context.Background(), bytes.NewReader(raw)); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(root, "d/e/f")); err != nil || string(b) != "1" {
		t.Errorf("the file has %q: %v", b, err)
	}
}
