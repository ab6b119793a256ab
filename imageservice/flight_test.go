package imageservice

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/containerd/errdefs"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestManyCallersOnePull(t *testing.T) {
	reg := newRegistry(t)
	reg.push(t, "a:1", imageOf(t, 13, 3, 100_000))
	gate := make(chan struct{})
	reg.interfere(onBlobs(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		<-gate
		next.ServeHTTP(w, r)
	}))
	var started, joined atomic.Int32
	n := newNode(t, Options{Hooks: Hooks{PullStarted: func(string) { started.Add(1) }, PullJoined: func(string) { joined.Add(1) }}})
	n.mirror("registry.example", reg.URL)

	leaver, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() {
		_, err := n.svc.Pull(leaver, &runtimeapi.ImageSpec{Image: "registry.example/a:1"}, nil, nil)
		left <- err
	}()
	eventually(t, "the pull is in flight", func() bool { return len(n.svc.Pulls()) == 1 })
	var wg sync.WaitGroup
	for range 10 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if _, err := n.pull("registry.example/a:1"); err != nil {
				t.Error(err)
			}
		}()
	}
	eventually(t, "all wait", func() bool { p := n.svc.Pulls(); return len(p) == 1 && p[0].Waiters == 11 })
	leave()
	if err := <-left; !errdefs.IsCanceled(err) {
		t.Errorf("the caller that left: %v", err)
	}
	if p := n.svc.Pulls(); len(p) != 1 || p[0].Waiters != 10 || p[0].Ref != "registry.example/a:1" {
		t.Errorf("pulls %+v", p)
	}
	close(gate)
	wg.Wait()
	if started.Load() != 1 || joined.Load() != 10 {
		t.Errorf("%d pulls, %d joined", started.Load(), joined.Load())
	}
	if got := reg.count("GET /v2/a/blobs/"); got != 4 {
		t.Errorf("%d blob requests, want 4", got)
	}
}

func TestLastCallerLeaves(t *testing.T) {
	reg := newRegistry(t)
	reg.push(t, "a:1", imageOf(t, 14, 3, 1_000_000))
	ended := make(chan struct{}, 16)
	half := func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		_, b := body(next, r)
		w.Header().Set("Content-Length", fmt.Sprint(len(b)))
		_, _ = w.Write(b[:len(b)/2])
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		ended <- struct{}{}
	}
	reg.interfere(onBlobs(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if _, b := body(next, r); len(b) < 10_000 {
			next.ServeHTTP(w, r)
			return
		}
		half(w, r, next)
	}))
	n := newNode(t, Options{})
	n.mirror("registry.example", reg.URL)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 2 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if _, err := n.svc.Pull(ctx, &runtimeapi.ImageSpec{Image: "registry.example/a:1"}, nil, nil); !errdefs.IsCanceled(err) {
				t.Errorf("caller that left: %v", err)
			}
		}()
	}
	eventually(t, "bytes came", func() bool {
		p := n.svc.Pulls()
		return len(p) == 1 && p[0].Waiters == 2 && p[0].BytesDone > 1_000_000 && p[0].BytesTotal > 3_000_000 && p[0].LayersTotal == 3
	})
	cancel()
	wg.Wait()
	<-ended // the registry sees the connection go
	// A new caller does not join what is being undone.
	reg.interfere(nil)
	img := n.mustPull("registry.example/a:1")
	checkFiles(t, n, img, 3)
	check(t, n.svc.Remove(t.Context(), img.ID))
	n.clean()
}
