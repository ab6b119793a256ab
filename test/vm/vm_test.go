package vm

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-run/berth/test/images"
)

// limit is for a run of the machine: one takes four minutes when nothing else runs.
const limit = 20 * time.Minute

// TestUnified boots the machine and passes when the tests in it do.
func TestUnified(t *testing.T) {
	if os.Getenv("BERTH_VM") == "" {
		t.Skip("boots a virtual machine, which takes minutes; make vm installs what it needs and runs this")
	}
	source, err := images.Root()
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	b, err := build(t.Context(), source, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the disk took %s", time.Since(start).Round(time.Second))
	log, err := os.Create(filepath.Join(source, "build/vm/console.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()

	var env []string
	if pattern := os.Getenv("BERTH_VM_RUN"); pattern != "" {
		env = append(env, "BERTH_VM_RUN="+pattern)
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	start = time.Now()
	o, err := boot(ctx, b, env, func(line string) {
		log.WriteString(line + "\n")
		t.Output().Write([]byte(line + "\n"))
	})
	if err != nil {
		t.Fatalf("after %s: %v", time.Since(start).Round(time.Second), err)
	}
	t.Logf("the machine booted in %s and ran for %s; its console: %s",
		o.booted, time.Since(start).Round(time.Second), log.Name())
	if o.code != 0 {
		t.Error("a test in the machine has failed")
	}
}

func TestFollow(t *testing.T) {
	console := "[    0.0] noise\r\nberth-vm: booted after 12.50 s: Linux 6.1, 2 processors\r\n--- FAIL: TestX\r\nberth-vm: ended after 61.25 s with 1\r\n"
	var seen []string
	o, err := follow(strings.NewReader(console), func(line string) { seen = append(seen, line) })
	if err != nil {
		t.Fatal(err)
	}
	if want := (outcome{booted: 12500 * time.Millisecond, ended: 61250 * time.Millisecond, code: 1}); o != want {
		t.Errorf("got %+v, want %+v", o, want)
	}
	if len(seen) != 4 || seen[2] != "--- FAIL: TestX" {
		t.Errorf("lines: %q", seen)
	}
}
