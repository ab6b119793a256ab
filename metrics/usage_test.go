package metrics

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestUsageCache(t *testing.T) {
	defer goleak.VerifyNone(t)
	var calls, busy, most atomic.Int32
	release := make(chan struct{})
	c := NewUsageCache(func(ctx context.Context, snapshotter, key string) (uint64, uint64, error) {
		n := busy.Add(1)
		defer busy.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		select {
		case <-release:
		case <-ctx.Done():
			return 0, 0, ctx.Err()
		}
		calls.Add(1)
		if key == "bad" {
			return 0, 0, errors.New("no such snapshot")
		}
		return 42, 7, nil
	}, UsageOptions{MaxAge: time.Hour, Mountpoint: func(s string) string { return "/x/" + s }})
	defer c.Close()

	keys := []string{"a", "b", "c", "d", "bad"}
	for range 3 {
		for _, k := range keys {
			if _, ok := c.Get("overlayfs", k); ok {
				t.Errorf("%s is known before it was measured", k)
			}
		}
	}
	eventually(t, func() bool { return busy.Load() == 2 })
	close(release)
	eventually(t, func() bool { _, a := c.Get("overlayfs", "a"); return a && calls.Load() == 5 })
	u, ok := c.Get("overlayfs", "a")
	if !ok || u.Bytes != 42 || u.Inodes != 7 || u.At.IsZero() || u.Mountpoint != "/x/overlayfs" {
		t.Errorf("%+v %v", u, ok)
	}
	if _, ok := c.Get("overlayfs", "bad"); ok {
		t.Error("a failed measurement has a figure")
	}
	if calls.Load() != 5 || most.Load() != 2 {
		t.Errorf("%d measurements, %d at once; want 5 and 2", calls.Load(), most.Load())
	}
	eventually(t, func() bool {
		c.layers.prune(map[layerKey]bool{{"overlayfs", "a"}: true})
		c.layers.mu.Lock()
		defer c.layers.mu.Unlock()
		return len(c.layers.entries) == 1
	})
	c.Forget("overlayfs", "a")
	if len(c.layers.entries) != 0 {
		t.Errorf("%d layers are left", len(c.layers.entries))
	}
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("did not come to pass within 5 s")
		}
	}
}

func TestUsageCacheClose(t *testing.T) {
	defer goleak.VerifyNone(t)
	c := NewUsageCache(func(ctx context.Context, _, _ string) (uint64, uint64, error) {
		<-ctx.Done()
		return 0, 0, ctx.Err()
	}, UsageOptions{})
	c.Get("s", "k")
	c.Close()
	c.Get("s", "other")
	c.Close()
}

// TestUsageCachePrime: a primed layer has a figure when it is asked for first, and asking has it measured again.
func TestUsageCachePrime(t *testing.T) {
	defer goleak.VerifyNone(t)
	var calls atomic.Uint64
	c := NewUsageCache(func(context.Context, string, string) (uint64, uint64, error) {
		return calls.Add(1), 1, nil
	}, UsageOptions{MaxAge: time.Hour})
	defer c.Close()
	c.Prime("s", "k")
	eventually(t, func() bool { _, _, ok := c.known("s", "k"); return ok })
	c.Prime("s", "k")
	if u, ok := c.Get("s", "k"); !ok || u.Bytes != 1 {
		t.Errorf("the first figure is %+v, %v; want the one of priming", u, ok)
	}
	eventually(t, func() bool { u, _, _ := c.known("s", "k"); return u.Bytes == 2 })
	c.Get("s", "k")
	if calls.Load() != 2 {
		t.Errorf("measured %d times, want 2", calls.Load())
	}
}
