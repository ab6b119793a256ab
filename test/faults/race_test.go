package faults

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/berth-run/berth/test/daemon"
	"github.com/berth-run/berth/test/images"
)

// raceBuild is a directory with a berthd that looks for data races, and the other
// programs as they are.
func raceBuild(t *testing.T) string {
	t.Helper()
	bin, err := daemon.BinDir()
	must(t, err)
	root, err := images.Root()
	must(t, err)
	dir := t.TempDir()
	programs, err := os.ReadDir(bin)
	must(t, err)
	for _, p := range programs {
		if p.Name() != "berthd" {
			must(t, os.Symlink(filepath.Join(bin, p.Name()), filepath.Join(dir, p.Name())))
		}
	}
	build := exec.Command("go", "build", "-race", "-o", filepath.Join(dir, "berthd"), "./cmd/berthd")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build -race: %v: %s", err, out)
	}
	return dir
}

// TestRaces puts a daemon that looks for data races under load.
func TestRaces(t *testing.T) {
	if !all() {
		t.Skip("takes minutes; make faults runs it")
	}
	daemon.Require(t)
	for name, opts := range modes {
		t.Run(name, func(t *testing.T) {
			reports := filepath.Join(t.TempDir(), "race")
			opts.BinDir, opts.Env = raceBuild(t), []string{"GORACE=log_path=" + reports}
			load(t, launch(t, opts), time.Minute)
			found, err := filepath.Glob(reports + ".*")
			must(t, err)
			for _, name := range found {
				report, err := os.ReadFile(name)
				must(t, err)
				t.Errorf("%s", report[:min(len(report), 8000)])
			}
		})
	}
}
