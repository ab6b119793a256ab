package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// example is a run in which Berth starts pods in a third of the time, and pulls as the
// peer does.
func example() *Result {
	r := &Result{Sides: []string{"berth", "berth-external", "containerd"}, Command: "go run ./test/bench"}
	for n := range 20 {
		v := float64(n % 5)
		r.Add(Metric{Name: "start.sum", Title: "pod start with CNI", Unit: "ms"}, "berth", 60+v)
		r.Add(Metric{Name: "start.sum"}, "berth-external", 120+v)
		r.Add(Metric{Name: "start.sum"}, "containerd", 180+v)
		r.Add(Metric{Name: "throughput.8", Title: "pods a second", Unit: "1/s", More: true}, "berth", 30+v)
		r.Add(Metric{Name: "throughput.8"}, "containerd", 10+v/10)
		r.Add(Metric{Name: "pull.one-gzip", Title: "pull", Unit: "ms"}, "berth", 1000)
		r.Add(Metric{Name: "pull.one-gzip"}, "containerd", 1000)
		r.Add(Metric{Name: "pull.one-gzip"}, Floor, 900)
	}
	r.Fail("burst", "berth", errors.New("no luck"))
	r.Fail("burst", "berth", errors.New("no luck either"))
	return r
}

func TestTargets(t *testing.T) {
	r := example()
	var out bytes.Buffer
	r.WriteTargets(&out)
	got := map[string]bool{}
	for line := range strings.Lines(out.String()) {
		got[strings.Join(strings.Fields(line), " ")] = true
	}
	for _, want := range []string{
		"ok berth pod start with CNI, p50 0.34 ≤ 0.40", "MISS berth-external pod start with CNI, p50 0.67 ≤ 0.40",
		"ok berth pods a second, 8 clients 3.14 ≥ 2.20", "MISS berth pull of one big layer, gzip 1.00 ≤ 0.60",
		"ok berth pull of one big layer, gzip, to the floor 1.11 ≤ 1.30",
	} {
		found := false
		for line := range got {
			found = found || strings.HasPrefix(line, want)
		}
		if !found {
			t.Errorf("no line %q in\n%s", want, out.String())
		}
	}
	if r.Missed() != 1 {
		t.Errorf("%d missed, want the pull", r.Missed())
	}
}

// Every target has to be about a metric that exists by that name somewhere.
func TestTargetsHaveTitles(t *testing.T) {
	seen := map[Target]bool{}
	for _, target := range Targets() {
		if target.Title == "" || target.Bound <= 0 || !strings.Contains(target.Metric, ".") || seen[target] {
			t.Errorf("%+v", target)
		}
		seen[target] = true
	}
}

func TestText(t *testing.T) {
	var out bytes.Buffer
	example().WriteText(&out)
	for _, want := range []string{"pod start with CNI (ms)", "FAILED 2 × in burst at berth: no luck"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, out.String())
		}
	}
}

func TestSVG(t *testing.T) {
	picture := example().SVG()
	d := xml.NewDecoder(strings.NewReader(picture))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(picture, "<rect"); n != 1+len(example().verdicts(Subject)) {
		t.Errorf("%d rectangles", n)
	}
	if !strings.Contains(picture, "containerd&#39;s") {
		t.Error("text is not escaped")
	}
}

func TestJSON(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.json")
	if err := example().WriteJSON(path); err != nil {
		t.Fatal(err)
	}
	r, err := ReadJSON(path)
	if err != nil {
		t.Fatal(err)
	}
	if r.Markdown() != example().Markdown() {
		t.Error("what was read shows something else")
	}
}

func TestWriteDocs(t *testing.T) {
	dir := t.TempDir()
	page := filepath.Join(dir, "performance.md")
	if err := os.WriteFile(page, []byte("before\n"+beginMark+"\nold\n"+endMark+"\nafter\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := example().WriteDocs(dir); err != nil {
			t.Fatal(err)
		}
	}
	text, _ := os.ReadFile(page)
	got := string(text)
	if !strings.HasPrefix(got, "before\n"+beginMark) || !strings.HasSuffix(got, endMark+"\nafter\n") ||
		strings.Contains(got, "old") || strings.Count(got, "### Targets") != 1 {
		t.Errorf("%s", got)
	}
	if _, err := os.Stat(filepath.Join(dir, "performance.svg")); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(page, []byte("no marks\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if example().WriteDocs(dir) == nil {
		t.Error("a page without marks is accepted")
	}
}

func TestProcessor(t *testing.T) {
	for text, want := range map[string]struct {
		model string
		sha   bool
	}{
		"processor\t: 0\nmodel name\t: Xeon\nflags\t\t: fpu sha_ni avx2\n\n": {"Xeon", true},
		"processor\t: 0\nmodel name\t: Xeon\nflags\t\t: fpu sha_nix avx2\n":  {"Xeon", false},
		"processor\t: 0\nFeatures\t: fp sha1 sha2\n":                         {runtime.GOARCH, true},
		"": {runtime.GOARCH, false},
	} {
		if model, sha := processor(text); model != want.model || sha != want.sha {
			t.Errorf("%q: %s, SHA %t", text, model, sha)
		}
	}
}

// TestTargetsInPicture: a bar that ends at its target is not one that ends where the picture does.
func TestTargetsInPicture(t *testing.T) {
	for _, target := range Targets() {
		bound := target.Bound
		if target.AtLeast {
			bound = 1 / bound
		}
		if bound >= maxRatio {
			t.Errorf("%s: the target of %v is at the edge", target.Title, bound)
		}
	}
}
