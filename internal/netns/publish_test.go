package netns

import (
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// TestPublished has two agents, one whose mounts follow the host's and one with a private copy: the first
// sees namespaces made before and after its start and can enter them; and of neither a copy keeps
// a namespace alive.
func TestPublished(t *testing.T) {
	base := filepath.Dir(podDir(t))
	agents := filepath.Join(base, "netns")
	if err := Share(agents); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unmountAll(agents) })
	if err := Share(agents); err != nil {
		t.Fatal("a second time:", err)
	}
	type pod struct{ dir, at string }
	run := func(name string) pod {
		p := pod{dir: filepath.Join(base, name), at: filepath.Join(agents, name)}
		mustCreate(t, Spec{Dir: p.dir, Net: true})
		for range 2 {
			if err := Publish(p.dir, p.at); err != nil {
				t.Fatal(err)
			}
		}
		t.Cleanup(func() { _ = Unpublish(p.at) })
		return p
	}
	before := run("before")
	follower, private := agent(t, "slave"), agent(t, "private")
	after := run("after")
	for _, p := range []pod{before, after} {
		if out, err := follower("nsenter", "--net="+p.at, "true"); err != nil {
			t.Errorf("an agent cannot enter %s: %v: %s", p.at, err, out)
		}
	}
	if out, err := private("nsenter", "--net="+before.at, "true"); err != nil {
		t.Errorf("an agent with a copy cannot enter what was there before: %v: %s", err, out)
	}
	for _, p := range []pod{before, after} {
		link := vethInto(t, Path(p.dir, Net))
		for range 2 {
			if err := Unpublish(p.at); err != nil {
				t.Fatal(err)
			}
		}
		if err := Remove(t.Context(), p.dir); err != nil {
			t.Fatal(err)
		}
		awaitLinkGone(t, link)
	}
}

// agent is a process with a mount namespace of its own; what it returns runs commands there.
func agent(t *testing.T, propagation string) func(...string) ([]byte, error) {
	t.Helper()
	cmd := exec.Command("unshare", "--mount", "--propagation", propagation, "sh", "-c", "echo; exec sleep 1000")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return func(command ...string) ([]byte, error) {
		return exec.Command("nsenter", append([]string{"--mount=/proc/" + strconv.Itoa(cmd.Process.Pid) + "/ns/mnt"}, command...)...).CombinedOutput()
	}
}
