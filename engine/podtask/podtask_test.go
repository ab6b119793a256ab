package podtask

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/events/exchange"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/core/runtime"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"
	bolt "go.etcd.io/bbolt"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/berth-run/berth/engine/packedspec"
)

const space = "k8s.io"

// records is a real container store in a database of the test's own, with these containers.
func records(t *testing.T, ids ...string) containers.Store {
	t.Helper()
	file, err := bolt.Open(filepath.Join(t.TempDir(), "meta.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	db := metadata.NewDB(file, nil, nil)
	ctx := namespaces.WithNamespace(t.Context(), space)
	if err := db.Init(ctx); err != nil {
		t.Fatal(err)
	}
	store := metadata.NewContainerStore(db)
	for _, id := range ids {
		c := containers.Container{ID: id, Spec: &anypb.Any{TypeUrl: "x"}, Runtime: containers.RuntimeInfo{Name: "r"}}
		if _, err := store.Create(ctx, c); err != nil {
			t.Fatal(err)
		}
	}
	return store
}

// listen is a socket on which a shim could answer.
func listen(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return path
}

// left makes what an earlier daemon left of a task.
func left(t *testing.T, dir, id, socket string) bundle {
	t.Helper()
	b := bundle(filepath.Join(dir, space, id))
	if err := b.make(record{Version: recordVersion, Socket: socket}, []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	// As long as the shim has not deleted the container, its options are there.
	if err := os.WriteFile(filepath.Join(string(b), "options.json"), []byte(`{}`), 0o600); err != nil {
		t.Fatal(err)
	}
	return b
}

// program is an executable that stands for the shim's binary when it is to clean up. It
// says in the file where it was, and answers with an empty message.
func program(t *testing.T, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "shim")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t *testing.T, dir, shim string, store containers.Store) *Runtime {
	t.Helper()
	return New(t.Context(), Options{Containers: store, Events: exchange.NewExchange(), Shim: shim, Dir: dir})
}

func exists(b bundle) bool {
	_, err := os.Stat(string(b))
	return err == nil
}

// TestLoad: a later daemon knows the tasks that it finds, whether their shims live or not,
// and ends those that have no record.
func TestLoad(t *testing.T) {
	dir, ran := t.TempDir(), filepath.Join(t.TempDir(), "ran")
	alive, cleaner := listen(t), program(t, `echo "$@" >>`+ran)
	living := left(t, dir, "living", alive)
	dead := left(t, dir, "dead", filepath.Join(dir, "nobody"))
	unrecorded := left(t, dir, "unrecorded", alive)
	half := bundle(filepath.Join(dir, space, "half"))
	if err := os.MkdirAll(half.rootfs(), 0o700); err != nil {
		t.Fatal(err)
	}
	newer := left(t, dir, "newer", alive)
	if err := os.WriteFile(filepath.Join(string(newer), recordFile), []byte(`{"version":99}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, stray := range []string{filepath.Join(dir, "file"), filepath.Join(dir, space, "file")} {
		if err := os.WriteFile(stray, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	begin := time.Now()
	r := open(t, dir, cleaner, records(t, "living", "dead", "half", "newer"))
	ctx := namespaces.WithNamespace(t.Context(), space)
	known := func() []*known { all, _ := r.tasks.GetAll(ctx, false); return all }
	for len(known()) > 2 && time.Since(begin) < 10*time.Second {
		time.Sleep(time.Millisecond) // its bundle goes before it is forgotten
	}
	for b, want := range map[bundle]bool{living: true, dead: true, unrecorded: false, half: false, newer: true} {
		if exists(b) != want {
			t.Errorf("bundle %s is there: %t, want %t", b, !want, want)
		}
	}
	if all := known(); len(all) != 2 {
		t.Errorf("known tasks: %v", all)
	}
	text, err := os.ReadFile(ran)
	if err != nil {
		t.Fatal(err)
	}
	if want := "-namespace k8s.io -id unrecorded -bundle " + string(unrecorded) + " delete\n"; string(text) != want {
		t.Errorf("the shim's binary was run with %q, want %q", text, want)
	}
}

// TestShimGone: to callers a task without a shim is none, and deleting it cleans up; a task
// that could not be cleaned up after stays known, so that it can be tried again.
func TestShimGone(t *testing.T) {
	dir, fail := t.TempDir(), filepath.Join(t.TempDir(), "fail")
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	b := left(t, dir, "a", l.Addr().String())
	// berth-shim says what went wrong, and exits with 0 all the same, for containerd's sake.
	r := open(t, dir, program(t, `test ! -e `+fail+` || echo still busy >&2`), records(t, "a"))
	l.Close()
	ctx := namespaces.WithNamespace(t.Context(), space)
	task, err := r.Get(ctx, "a")
	if err != nil {
		t.Fatal(err)
	}
	if err := task.Kill(ctx, 9, true); !errdefs.IsNotFound(err) || !errors.Is(err, errShimGone) {
		t.Errorf("Kill: %v", err)
	}
	if _, err := task.Wait(ctx); !errdefs.IsNotFound(err) {
		t.Errorf("Wait: %v", err)
	}
	if err := os.WriteFile(fail, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Delete(ctx, "a"); err == nil || errdefs.IsNotFound(err) || !exists(b) {
		t.Errorf("Delete that cannot clean up: %v; bundle there: %t", err, exists(b))
	}
	if err := os.Remove(fail); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Delete(ctx, "a"); err != nil || exists(b) {
		t.Errorf("Delete: %v; bundle there: %t", err, exists(b))
	}
}

// TestCreateWithoutShim: a creation that fails leaves nothing, and can be tried again.
func TestCreateWithoutShim(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir, "/bin/false", records(t, "a"))
	ctx := namespaces.WithNamespace(t.Context(), space)
	for range 2 {
		_, err := r.Create(ctx, "a", runtime.CreateOpts{
			Address: endpointPrefix + filepath.Join(dir, "nobody"), Spec: jsonSpec(`{"linux":{}}`),
		})
		if !errors.Is(err, errShimGone) {
			t.Fatalf("Create: %v", err)
		}
		if b := bundle(filepath.Join(dir, space, "a")); exists(b) {
			t.Fatalf("bundle %s was left", b)
		}
	}
}

// TestHungShim: a shim that takes the connection and does not answer costs the caller's
// deadline, and nothing is taken for gone.
func TestHungShim(t *testing.T) {
	dir := t.TempDir()
	b := left(t, dir, "a", listen(t))
	r := open(t, dir, "/bin/false", records(t, "a"))
	ctx, cancel := context.WithCancel(namespaces.WithNamespace(t.Context(), space))
	cancel()
	if _, err := r.Delete(ctx, "a"); !errors.Is(err, context.Canceled) || !exists(b) {
		t.Errorf("Delete: %v; bundle there: %t", err, exists(b))
	}
}

// TestBundleOfUserNamespace: the root of a container's user namespace can pass through the
// bundle to its root file system.
func TestBundleOfUserNamespace(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: it changes a directory's group")
	}
	b := bundle(filepath.Join(t.TempDir(), space, "a"))
	spec := `{"linux":{"gidMappings":[{"containerID":1,"hostID":7},{"containerID":0,"hostID":65536,"size":65536}]}}`
	if err := b.make(record{Version: recordVersion}, []byte(spec)); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(string(b))
	if err != nil {
		t.Fatal(err)
	}
	if gid := info.Sys().(*syscall.Stat_t).Gid; gid != 65536 || info.Mode().Perm() != 0o710 {
		t.Errorf("group %d, mode %o", gid, info.Mode().Perm())
	}
}

type jsonSpec string

func (s jsonSpec) GetTypeUrl() string { return "spec" }
func (s jsonSpec) GetValue() []byte   { return []byte(s) }

var _ typeurl.Any = jsonSpec("")

// others is a runtime that is asked to create a task.
type others struct {
	runtime.PlatformRuntime
	got runtime.CreateOpts
}

func (o *others) Create(_ context.Context, _ string, opts runtime.CreateOpts) (runtime.Task, error) {
	o.got = opts
	return nil, errdefs.ErrUnavailable
}

// TestPackedSpec: the database has specs packed; other runtimes get JSON.
func TestPackedSpec(t *testing.T) {
	const text = `{"ociVersion":"1.3.0"}`
	packed, err := packedspec.Pack(&anypb.Any{TypeUrl: "types.containerd.io/opencontainers/runtime-spec/1/Spec", Value: []byte(text)})
	if err != nil {
		t.Fatal(err)
	}
	if string(packed.GetValue()) == text {
		t.Fatal("it is not packed")
	}
	o := &others{}
	r := New(t.Context(), Options{Others: o, Containers: records(t), Events: exchange.NewExchange(), Dir: t.TempDir()})
	_, _ = r.Create(namespaces.WithNamespace(t.Context(), space), "a", runtime.CreateOpts{Spec: packed})
	if got := string(o.got.Spec.GetValue()); got != text {
		t.Errorf("%q", got)
	}
}
