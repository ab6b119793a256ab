// Package vulncheck tests the target of the Makefile that looks for known vulnerabilities, with a
// database in a directory: what a machine without the internet has.
package vulncheck

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-run/berth/test/images"
)

// The database of a vulnerability that was invented: it is in a function that internal/inside calls.
const (
	id      = "GO-0000-0001"
	modules = `[{"path":"golang.org/x/sys","vulns":[{"id":"` + id + `","modified":"2026-12-01T00:00:00Z","fixed":"99.0.0"}]}]`
	entry   = `{"schema_version":"1.3.1","id":"` + id + `","modified":"2026-12-01T00:00:00Z","published":"2026-12-01T00:00:00Z",
"summary":"An invented vulnerability","details":"Nothing is wrong.","database_specific":{"url":"https://example.net/"},
"affected":[{"package":{"name":"golang.org/x/sys","ecosystem":"Go"},
"ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":"99.0.0"}]}],
"ecosystem_specific":{"imports":[{"path":"golang.org/x/sys/unix","symbols":["Openat2"]}]}}]}`
)

// database makes a copied database that holds these files.
func database(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// vulncheck runs make vulncheck for one small package.
func vulncheck(t *testing.T, db string) (string, error) {
	t.Helper()
	top, err := images.Root()
	if err != nil {
		t.Fatal(err)
	}
	make := exec.CommandContext(t.Context(), "make", "--no-print-directory", "vulncheck", "VULNDB="+db, "VULN_OWN=./internal/inside", "VULN_COMP=")
	make.Dir = top
	out, err := make.CombinedOutput()
	return string(out), err
}

func TestOffline(t *testing.T) {
	const modified = `{"modified":"2026-12-01T00:00:00Z"}`
	found := database(t, map[string]string{"index/db.json": modified, "index/modules.json": modules, "ID/" + id + ".json": entry})
	out, err := vulncheck(t, found)
	if err == nil || !strings.Contains(out, id) || !strings.Contains(out, "calls unix.Openat2") {
		t.Errorf("a vulnerable function is called, and make vulncheck says (%v)\n%s", err, out)
	}
	clean := database(t, map[string]string{"index/db.json": modified, "index/modules.json": "[]"})
	if out, err := vulncheck(t, clean); err != nil {
		t.Errorf("with a database of nothing: %v\n%s", err, out)
	}
	if out, err := vulncheck(t, t.TempDir()); err == nil || !strings.Contains(out, "is no copy of the database") {
		t.Errorf("with a directory that is no database: %v\n%s", err, out)
	}
}
