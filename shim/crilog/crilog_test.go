package crilog

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// entry is a parsed log entry.
type entry struct{ stream, tag, text string }

func parse(t testing.TB, data []byte) []entry {
	t.Helper()
	var out []entry
	for _, line := range bytes.SplitAfter(data, []byte{'\n'}) {
		if len(line) == 0 {
			continue
		}
		f := bytes.SplitN(line, []byte{' '}, 4)
		if len(f) != 4 || !bytes.HasSuffix(f[3], []byte{'\n'}) {
			t.Fatalf("malformed entry %q", line)
		}
		if _, err := time.Parse(time.RFC3339Nano, string(f[0])); err != nil {
			t.Fatalf("entry %q: %v", line, err)
		}
		out = append(out, entry{string(f[1]), string(f[2]), string(f[3][:len(f[3])-1])})
	}
	return out
}

// content is what a reader of the log gets for one stream.
func content(entries []entry, stream string) string {
	var b strings.Builder
	for _, e := range entries {
		if e.stream == stream {
			b.WriteString(e.text)
			if e.tag == "F" {
				b.WriteByte('\n')
			}
		}
	}
	return b.String()
}

func open(t testing.TB) (*File, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "0.log")
	f, err := Open("", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, path
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestSplit(t *testing.T) {
	for _, tc := range []struct {
		name    string
		writes  []string
		max     int
		stripCR bool
		want    []string // tag:text
	}{
		{name: "one line", writes: []string{"a\n"}, want: []string{"F:a"}},
		{name: "empty line", writes: []string{"\n\n"}, want: []string{"F:", "F:"}},
		{name: "two in one write", writes: []string{"a\nb\n"}, want: []string{"F:a", "F:b"}},
		{name: "one in three writes", writes: []string{"a", "b", "c\n"}, want: []string{"F:abc"}},
		{name: "newline alone", writes: []string{"ab", "\n"}, want: []string{"F:ab"}},
		{name: "no newline at the end", writes: []string{"a\nb"}, want: []string{"F:a", "P:b"}},
		{name: "nothing", writes: []string{""}, want: nil},
		{name: "exactly the limit", writes: []string{"abcd\n"}, max: 4, want: []string{"F:abcd"}},
		{name: "one over", writes: []string{"abcde\n"}, max: 4, want: []string{"P:abcd", "F:e"}},
		{name: "twice the limit", writes: []string{"abcdefgh\n"}, max: 4, want: []string{"P:abcd", "F:efgh"}},
		{name: "limit then newline apart", writes: []string{"abcd", "\n"}, max: 4, want: []string{"F:abcd"}},
		{name: "limit over writes", writes: []string{"abc", "def", "g\n"}, max: 4, want: []string{"P:abcd", "F:efg"}},
		{name: "limit then end", writes: []string{"abcd"}, max: 4, want: []string{"P:abcd"}},
		{name: "many parts", writes: []string{"abcdefghij"}, max: 3, want: []string{"P:abc", "P:def", "P:ghi", "P:j"}},
		{name: "carriage return is data", writes: []string{"a\r\n"}, want: []string{"F:a\r"}},
		{name: "terminal's is not", writes: []string{"a\r\n"}, stripCR: true, want: []string{"F:a"}},
		{name: "terminal's alone in a write", writes: []string{"a\r", "\n"}, stripCR: true, want: []string{"F:a"}},
		{name: "only the last", writes: []string{"a\r\r\n"}, stripCR: true, want: []string{"F:a\r"}},
		{name: "any byte", writes: []string{"\x00\xff \x1b[0m\n"}, want: []string{"F:\x00\xff \x1b[0m"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f, path := open(t)
			if tc.max == 0 {
				tc.max = 1024
			}
			s := f.Stream(Stdout, tc.max, tc.stripCR)
			for _, w := range tc.writes {
				if n, err := s.Write([]byte(w)); n != len(w) || err != nil {
					t.Fatalf("Write = %d, %v", n, err)
				}
			}
			s.End()
			var got []string
			for _, e := range parse(t, read(t, path)) {
				got = append(got, e.tag+":"+e.text)
			}
			if fmt.Sprint(got) != fmt.Sprint(tc.want) {
				t.Errorf("entries %q, want %q", got, tc.want)
			}
		})
	}
}

func TestStatsCountContainerBytes(t *testing.T) {
	f, _ := open(t)
	out, errs := f.Stream(Stdout, 4, false), f.Stream(Stderr, 4, false)
	out.Write([]byte("abcdef\nx"))
	errs.Write([]byte("\n"))
	out.End()
	if got, want := f.Stats(), (Stats{Entries: 4, Bytes: 9}); got != want {
		t.Errorf("stats %+v, want %+v", got, want)
	}
}

func FuzzSplit(f *testing.F) {
	f.Add([]byte("a\nbc\n\ndef"), 3, 2)
	f.Add([]byte("\r\n\x00"), 1, 1)
	f.Fuzz(func(t *testing.T, data []byte, limit, chunk int) {
		if limit < 1 || limit > 4096 || chunk < 1 {
			t.Skip()
		}
		l, path := open(t)
		s := l.Stream(Stdout, limit, false)
		for rest := data; len(rest) > 0; {
			n := min(chunk, len(rest))
			s.Write(rest[:n])
			rest = rest[n:]
		}
		s.End()
		entries := parse(t, read(t, path))
		for _, e := range entries {
			if len(e.text) > limit {
				t.Fatalf("entry of %d bytes, limit %d", len(e.text), limit)
			}
		}
		if got := content(entries, Stdout); got != string(data) {
			t.Fatalf("log gives %q, container wrote %q", got, data)
		}
		if st := l.Stats(); st.Bytes != uint64(len(data)) || st.Entries != uint64(len(entries)) {
			t.Fatalf("stats %+v for %d bytes in %d entries", st, len(data), len(entries))
		}
	})
}

func TestReopenLosesAndDoublesNothing(t *testing.T) {
	f, path := open(t)
	const streams, lines = 2, 20000
	var wg sync.WaitGroup
	for i := range streams {
		wg.Go(func() {
			s := f.Stream([]string{Stdout, Stderr}[i], 1024, false)
			for n := range lines {
				fmt.Fprintf(s, "%d", n)
				fmt.Fprintf(s, "\n")
			}
			s.End()
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	var rotated []string
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
			to := fmt.Sprintf("%s.%d", path, len(rotated))
			if err := os.Rename(path, to); err != nil {
				t.Fatal(err)
			}
			if err := f.Reopen(); err != nil {
				t.Fatal(err)
			}
			rotated = append(rotated, to)
			time.Sleep(time.Millisecond)
		}
	}
	var all []byte
	for _, p := range append(rotated, path) {
		all = append(all, read(t, p)...)
	}
	entries := parse(t, all)
	var want strings.Builder
	for n := range lines {
		fmt.Fprintln(&want, n)
	}
	for _, stream := range []string{Stdout, Stderr} {
		if content(entries, stream) != want.String() {
			t.Errorf("%s: lines lost or doubled over %d rotations", stream, len(rotated))
		}
	}
}

func TestReopenFailureKeepsOldFile(t *testing.T) {
	f, path := open(t)
	s := f.Stream(Stdout, 1024, false)
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/null", path); err != nil {
		t.Fatal(err)
	}
	if err := f.Reopen(); !errors.Is(err, unix.ELOOP) {
		t.Errorf("Reopen through a symlink: %v, want ELOOP", err)
	}
	s.Write([]byte("still here\n"))
	if got := content(parse(t, read(t, path+".1")), Stdout); got != "still here\n" {
		t.Errorf("old file has %q", got)
	}
}

func TestOpenRefusesWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, fifo, filepath.Join(dir, "missing", "0.log")} {
		if f, err := Open("", path); err == nil {
			f.Close()
			t.Errorf("Open(%s) succeeded", path)
		}
	}
}

// TestFullDisk writes to a small tmpfs until it is full, makes room, and writes on.
func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount a small tmpfs")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("cannot mount a tmpfs: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 32<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "0.log")
	f, err := Open("", path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := f.Stream(Stdout, 1024, false)
	const lines = 2000
	for n := range lines {
		fmt.Fprintf(s, "line %d\n", n)
	}
	full := f.Stats()
	if !errors.Is(full.Err, unix.ENOSPC) || full.Lost.Entries == 0 || full.Entries == 0 {
		t.Fatalf("stats of a full disk: %+v", full)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(s, "after\n")
	st := f.Stats()
	if st.Err != nil || st.Entries+st.Lost.Entries != lines+1 || st.Lost != full.Lost {
		t.Errorf("stats after room was made: %+v, before %+v", st, full)
	}
	entries := parse(t, read(t, path))
	note := entries[len(entries)-2]
	want := fmt.Sprintf("%d log entries (%d bytes)", st.Lost.Entries, st.Lost.Bytes)
	if note.stream != Stderr || !strings.Contains(note.text, want) || !strings.Contains(note.text, "no space left") {
		t.Errorf("note %+v, want %q and the cause in it", note, want)
	}
	if uint64(len(entries)-1) != st.Entries {
		t.Errorf("%d entries in the file, stats say %d", len(entries)-1, st.Entries)
	}
}

func BenchmarkWrite(b *testing.B) {
	f, err := Open("", filepath.Join(b.TempDir(), "log"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	s := f.Stream(Stdout, 16384, false)
	chunk := bytes.Repeat([]byte(strings.Repeat("x", 99)+"\n"), 655)
	b.SetBytes(int64(len(chunk)))
	for b.Loop() {
		s.Write(chunk)
		if st, _ := f.f.Stat(); st.Size() > 256<<20 {
			f.f.Truncate(0)
		}
	}
}

// TestOpenStaysBelowRoot: a directory that was replaced by a link leads nowhere else.
func TestOpenStaysBelowRoot(t *testing.T) {
	root, outside := t.TempDir(), t.TempDir()
	if err := os.Symlink(outside, filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(root, "c"), 0o755); err != nil {
		t.Fatal(err)
	}
	if f, err := Open(root, filepath.Join(root, "link", "0.log")); err == nil {
		f.Close()
		t.Error("opened a file outside of the root")
	}
	if left, _ := os.ReadDir(outside); len(left) > 0 {
		t.Errorf("made %v", left)
	}
	f, err := Open(root, filepath.Join(root, "c", "0.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.Rename(filepath.Join(root, "c"), filepath.Join(root, "moved")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(root, "c")); err != nil {
		t.Fatal(err)
	}
	if err := f.Reopen(); err == nil {
		t.Error("reopened outside of the root")
	}
}
