package service_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-run/berth/shim"
	"github.com/containerd/containerd/api/types/runc/options"
	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/sandbox"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// host is a real containerd, without its CRI plugin, in directories of its own, and berth-shim
// built from this tree.
type host struct {
	t      testing.TB
	root   string // also the daemon's state directory
	client *containerd.Client
	shim   string
	runc   string
	daemon *exec.Cmd
}

const namespace = "k8s.io"

func newHost(t testing.TB) *host {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to run containers")
	}
	bin, err := filepath.Abs("../../bin")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"containerd", "runc"} {
		if _, err := os.Stat(filepath.Join(bin, name)); err != nil {
			t.Skipf("needs %s/%s, which `make build` makes", bin, name)
		}
	}
	// Not t.TempDir: sockets need short paths.
	root, err := os.MkdirTemp("", "bs")
	if err != nil {
		t.Fatal(err)
	}
	h := &host{t: t, root: root, runc: filepath.Join(bin, "runc"), shim: filepath.Join(root, "berth-shim")}
	t.Cleanup(func() {
		if err := os.RemoveAll(root); err != nil {
			t.Errorf("left behind: %v", err)
		}
	})
	build := exec.Command("go", "build", raceFlags[1], "-tags", "no_grpc,osusergo,netgo", "-ldflags", "-s -w", "-o", h.shim, "github.com/berth-run/berth/cmd/berth-shim")
	build.Env = append(os.Environ(), raceFlags[0])
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build berth-shim: %v\n%s", err, out)
	}
	h.startDaemon()
	t.Cleanup(h.stopDaemon)
	return h
}

func (h *host) socket() string { return filepath.Join(h.root, "c.sock") }

// startDaemon starts containerd and connects.
func (h *host) startDaemon() {
	h.t.Helper()
	config := fmt.Sprintf(`version = 3
root = %q
state = %q
disabled_plugins = ["io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime", "io.containerd.grpc.v1.cri", "io.containerd.nri.v1.nri"]
[grpc]
address = %q
`, filepath.Join(h.root, "root"), filepath.Join(h.root, "state"), h.socket())
	path := filepath.Join(h.root, "config.toml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		h.t.Fatal(err)
	}
	out, err := os.OpenFile(filepath.Join(h.root, "containerd.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		h.t.Fatal(err)
	}
	defer out.Close()
	h.daemon = exec.Command(filepath.Join(filepath.Dir(h.runc), "containerd"), "--config", path)
	h.daemon.Stdout, h.daemon.Stderr = out, out
	if err := h.daemon.Start(); err != nil {
		h.t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; {
		if h.client, err = containerd.New(h.socket(), containerd.WithDefaultNamespace(namespace), containerd.WithTimeout(time.Second)); err == nil {
			if _, err = h.client.Version(h.ctx()); err == nil {
				return
			}
			h.client.Close()
		}
		if time.Now().After(deadline) {
			log, _ := os.ReadFile(filepath.Join(h.root, "containerd.log"))
			h.t.Fatalf("containerd does not answer: %v\n%s", err, log)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// killDaemon is the crash.
func (h *host) killDaemon() {
	h.t.Helper()
	h.client.Close()
	if err := h.daemon.Process.Kill(); err != nil {
		h.t.Error(err)
	}
	_ = h.daemon.Wait()
	h.daemon = nil
}

func (h *host) stopDaemon() {
	if h.daemon == nil {
		return
	}
	h.client.Close()
	_ = h.daemon.Process.Signal(unix.SIGTERM)
	_ = h.daemon.Wait()
}

func (h *host) ctx() context.Context {
	return namespaces.WithNamespace(h.t.Context(), namespace)
}

// pod is a sandbox record and its shim.
type pod struct {
	*host
	id   string
	proc *shim.Process
}

func (h *host) newPod() *pod {
	h.t.Helper()
	p := &pod{host: h, id: newID(h.t)}
	if _, err := h.client.SandboxStore().Create(h.ctx(), sandbox.Sandbox{ID: p.id, Runtime: sandbox.RuntimeOpts{Name: h.shim}}); err != nil {
		h.t.Fatal(err)
	}
	if err := os.MkdirAll(shim.PodDir(h.root, p.id), 0o700); err != nil {
		h.t.Fatal(err)
	}
	var err error
	p.proc, err = shim.Launch(h.ctx(), h.launchSpec(p.id))
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(p.remove)
	return p
}

func (h *host) launchSpec(podID string) shim.LaunchSpec {
	return shim.LaunchSpec{
		Binary: h.shim, PodID: podID, StateDir: h.root,
		ContainerdAddress: h.socket(), TTRPCAddress: h.socket() + ".ttrpc", Debug: true,
	}
}

func (p *pod) remove() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.ctx()), 20*time.Second)
	defer cancel()
	if log, err := os.ReadFile(filepath.Join(shim.PodDir(p.root, p.id), "shim.log")); err == nil {
		if bytes.Contains(log, []byte("DATA RACE")) || bytes.Contains(log, []byte("panic:")) {
			p.t.Error("the shim raced or panicked")
		}
		if p.t.Failed() {
			p.t.Logf("shim.log:\n%s", tail(log, 4000))
		}
	}
	if err := p.proc.Stop(ctx, true); err != nil {
		p.t.Errorf("stop the shim: %v", err)
	}
	if _, err := os.Stat(p.proc.ControlPath()); err == nil {
		p.t.Errorf("%s is left", p.proc.ControlPath())
	}
	_ = p.client.SandboxStore().Delete(ctx, p.id)
}

func tail(b []byte, n int) []byte { return b[max(0, len(b)-n):] }

// ctr is a container in a pod.
type ctr struct {
	*pod
	id, log, status string
	c               containerd.Container
	task            containerd.Task
}

func (h *host) runtime() containerd.NewContainerOpts {
	return containerd.WithRuntime(h.shim, &options.Options{BinaryName: h.runc, Root: filepath.Join(h.root, "runc")})
}

// newCtr makes a container that runs the shell script on the host's programs.
func (p *pod) newCtr(script string, io shim.IOConfig, opts ...oci.SpecOpts) *ctr {
	p.t.Helper()
	k := &ctr{pod: p, id: newID(p.t)}
	dir := filepath.Join(p.root, "containers", k.id)
	rootfs := filepath.Join(dir, "rootfs")
	if err := os.MkdirAll(rootfs, 0o755); err != nil {
		p.t.Fatal(err)
	}
	k.log, k.status = filepath.Join(dir, "0.log"), filepath.Join(dir, "status.json")
	io.LogPath, io.StatusFile = k.log, k.status
	specOpts := append([]oci.SpecOpts{
		oci.WithRootFSPath(rootfs), oci.WithProcessArgs("/bin/sh", "-c", script), withHostPrograms,
		oci.WithCgroup("/berth-shim-test/" + k.id), oci.WithEnv([]string{"PATH=/usr/bin:/bin"}),
	}, opts...)
	if io.TTY {
		specOpts = append(specOpts, oci.WithTTY)
	}
	var err error
	k.c, err = p.client.NewContainer(p.ctx(), k.id,
		p.runtime(), containerd.WithSandbox(p.id), containerd.WithNewSpec(specOpts...))
	if err != nil {
		p.t.Fatal(err)
	}
	k.task, err = k.c.NewTask(p.ctx(), shim.Creator(io), containerd.WithTaskAPIEndpoint(p.proc.TaskEndpoint(), shim.TaskAPIVersion))
	if err != nil {
		p.t.Fatalf("create task: %v", err)
	}
	p.t.Cleanup(k.remove)
	return k
}

// remove ends and removes the container, whatever happened to it.
func (k *ctr) remove() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(k.ctx()), 20*time.Second)
	defer cancel()
	c, err := k.client.LoadContainer(ctx, k.id)
	if err == nil {
		if t, err := c.Task(ctx, nil); err == nil {
			_, _ = t.Delete(ctx, containerd.WithProcessKill)
		}
		_ = c.Delete(ctx)
	}
	removeCgroups(k.t, k.id)
}

// removeCgroups removes the tests' parent cgroup; a container's own must be gone by then.
func removeCgroups(t testing.TB, id string) {
	for _, pattern := range []string{"/sys/fs/cgroup/berth-shim-test", "/sys/fs/cgroup/*/berth-shim-test"} {
		dirs, _ := filepath.Glob(pattern)
		for _, dir := range dirs {
			if _, err := os.Stat(filepath.Join(dir, id)); err == nil {
				t.Errorf("%s/%s is left", dir, id)
			}
			_ = os.Remove(dir) // not while another container's is in it
		}
	}
}

func (k *ctr) start() *ctr {
	k.t.Helper()
	if err := k.task.Start(k.ctx()); err != nil {
		k.t.Fatalf("start: %v", err)
	}
	return k
}

// wait returns the record after the end.
func (k *ctr) wait(bound time.Duration) shim.Record {
	k.t.Helper()
	return k.await(bound, func(r shim.Record) bool { return r.State == shim.StateExited })
}

func (k *ctr) await(bound time.Duration, ok func(shim.Record) bool) (rec shim.Record) {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(k.ctx(), bound)
	defer cancel()
	err := k.proc.Client().Watch(ctx, func(e shim.Event) error {
		if e.Record.ID == k.id && ok(e.Record) {
			rec = e.Record
			return errFound
		}
		return nil
	})
	if err != errFound {
		k.t.Fatalf("container %s: %v", k.id, err)
	}
	return rec
}

// withHostPrograms gives the container the host's programs, read-only.
func withHostPrograms(_ context.Context, _ oci.Client, _ *containers.Container, s *oci.Spec) error {
	for _, dir := range []string{"/usr", "/bin", "/lib", "/lib64", "/etc"} {
		if _, err := os.Stat(dir); err != nil {
			continue
		}
		s.Mounts = append(s.Mounts, specs.Mount{Destination: dir, Source: dir, Type: "bind", Options: []string{"rbind", "ro"}})
	}
	return nil
}

func newID(t testing.TB) string {
	b := make([]byte, 32)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(b)
}

// lines are the stdout lines of CRI logs.
func lines(t testing.TB, paths ...string) []string {
	t.Helper()
	var out []string
	var partial string
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			f := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 4)
			if len(f) != 4 {
				t.Fatalf("%s: malformed entry %q", path, line)
			}
			if f[1] != "stdout" {
				continue
			}
			partial += f[3]
			if f[2] == "F" {
				out, partial = append(out, partial), ""
			}
		}
	}
	if partial != "" {
		out = append(out, partial)
	}
	return out
}
