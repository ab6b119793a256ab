package faults

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
	"github.com/berth-run/berth/test/host"
)

// fault is how the daemon is broken at a point.
type fault string

const (
	killed     fault = "kill"       // SIGKILL to berthd
	failed     fault = "error"      // the step fails
	abandoned  fault = "deadline"   // the caller's deadline passes
	containerd fault = "containerd" // SIGKILL to the external containerd
)

var faults = []fault{killed, failed, abandoned, containerd}

// sampleEvery thins the matrix out for make test; a prime, so that before and after, do
// and undo all come.
const sampleEvery = 17

// tally counts what was broken.
type tally struct {
	points, operations map[string]bool
	rounds, dirty      int
	missed             []string
}

func TestMatrix(t *testing.T) {
	daemon.Require(t)
	points, err := daemon.Failpoints()
	if err != nil {
		t.Fatal(err)
	}
	for name, opts := range modes {
		t.Run(name, func(t *testing.T) {
			d := launch(t, opts)
			before, err := d.StockOf(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			n := &tally{points: map[string]bool{}, operations: map[string]bool{}}
			for _, f := range faults {
				if f == containerd && !opts.External {
					continue
				}
				for i, point := range selected(points, sampleEvery) {
					if strings.HasPrefix(point, "Recover") && (f == abandoned || f == containerd) {
						continue // nobody calls at the start
					}
					t.Run(string(f)+"/"+strings.ReplaceAll(point, "/", "_"), func(t *testing.T) {
						w := newWorld(d, before, fmt.Sprintf("%s-%s-%d", name[:2], f, i))
						round(t, w, point, f, n)
					})
					if d.PID() == 0 {
						t.Fatal("berthd does not start any more")
					}
				}
			}
			t.Logf("broken: %d points of %d operations, %d rounds with containerd %s; %d rounds left something behind",
				len(n.points), len(n.operations), n.rounds, name, n.dirty)
			for _, m := range n.missed {
				t.Logf("not reached: %s", m)
			}
			healthy(t, d)
		})
	}
}

// round breaks the daemon at one point and looks at what comes of it.
func round(t *testing.T, w *world, point string, f fault, n *tally) {
	ctx, cancel := context.WithTimeout(background(), 3*time.Minute)
	defer cancel()
	begin := time.Now()
	w.d.MarkLog()
	t.Cleanup(func() {
		if t.Failed() {
			w.d.ShowLog(t)
		}
	})
	s, err := w.scenarioOf(point)
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, err error) {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	check("prepare", s.prepare(ctx))
	hit := false
	if !t.Failed() {
		hit, err = w.breakAt(ctx, s, point, f)
		check("breaking", err)
	}
	_, err = w.d.Revive(ctx)
	check("starting again", err)
	if w.d.PID() == 0 {
		return
	}
	check("disarming", w.d.Disarm(ctx))
	check("after the fault", w.truth(ctx))
	if s.again == nil {
		s.again = s.call
	}
	check("the same request again", w.patiently(ctx, f, s.again))
	check("after the same request", w.truth(ctx))
	err = w.clear(ctx)
	check("removing everything", err)
	var left *host.Leftover
	if errors.As(err, &left) {
		n.dirty++
	}
	if !hit {
		n.missed = append(n.missed, string(f)+" "+point)
		return
	}
	n.rounds++
	n.points[point] = true
	operation, _, _ := strings.Cut(point, "/")
	n.operations[operation] = true
	if took := time.Since(begin); took > 8*time.Second {
		t.Logf("slow: %s", took)
	}
}

// patiently makes a call again: once, or until an external containerd that was killed
// is there again for all who use it.
func (w *world) patiently(ctx context.Context, f fault, call func(context.Context) error) error {
	for end := time.Now().Add(20 * time.Second); ; {
		one, cancel := context.WithTimeout(ctx, callBound)
		err := call(one)
		cancel()
		if err == nil || f != containerd || time.Now().After(end) {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// breakAt makes the request with the point armed. It says whether the point was hit.
func (w *world) breakAt(ctx context.Context, s scenario, point string, f fault) (bool, error) {
	if s.atStart {
		return w.breakStart(ctx, point, f)
	}
	if s.also != "" && s.also != point {
		if err := w.d.Arm(ctx, s.also, "error"); err != nil {
			return false, err
		}
	}
	action := map[fault]string{killed: "kill", failed: "error", abandoned: "hang", containerd: "hang"}[f]
	if err := w.d.Arm(ctx, point, action); err != nil {
		return false, err
	}
	one, cancel := context.WithTimeout(ctx, callBound)
	defer cancel()
	answer := make(chan error, 1)
	go func() { answer <- s.call(one) }()
	switch f {
	case killed:
		return w.awaitDeath(s, answer)
	case failed:
		<-answer // also a call that swallows the error is right
		return w.wasHit(ctx, point, s.background), nil
	case abandoned:
		return w.leave(ctx, s, point, cancel, answer)
	}
	return w.loseContainerd(ctx, point, answer)
}

// wasHit reports whether a point has been hit, with patience for what comes later.
func (w *world) wasHit(ctx context.Context, point string, later bool) bool {
	patience := 300 * time.Millisecond
	if later {
		patience = 20 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return w.d.AwaitHit(ctx, point) == nil
}

func (w *world) awaitDeath(s scenario, answer <-chan error) (bool, error) {
	var err error
	select {
	case err = <-answer:
	case <-w.d.Exited():
		return true, nil
	}
	patience := 2 * time.Second
	if s.background {
		patience = 5 * time.Second
	}
	select {
	case <-w.d.Exited():
		return true, nil
	case <-time.After(patience):
		return false, fmt.Errorf("the point was not reached; the call said %w", err)
	}
}

// leave lets the caller go away while the operation hangs, and then go on.
func (w *world) leave(ctx context.Context, s scenario, point string, cancel func(), answer <-chan error) (bool, error) {
	if !w.wasHit(ctx, point, true) {
		return false, fmt.Errorf("the point was not reached: %w", <-answer)
	}
	cancel()
	err := <-answer
	if s.background && err == nil {
		return true, w.d.Disarm(ctx) // it had its answer
	}
	if err == nil || (status.Code(err) != codes.Canceled && !errors.Is(err, context.Canceled)) {
		return true, fmt.Errorf("the caller left, and its call said %w", err)
	}
	return true, w.d.Disarm(ctx)
}

// loseContainerd kills containerd while the operation hangs, and starts it again.
func (w *world) loseContainerd(ctx context.Context, point string, answer <-chan error) (bool, error) {
	if !w.wasHit(ctx, point, true) {
		return false, fmt.Errorf("the point was not reached: %w", <-answer)
	}
	if err := w.d.EndContainerd(); err != nil {
		return true, err
	}
	if err := w.d.Disarm(ctx); err != nil {
		return true, err
	}
	time.Sleep(20 * time.Millisecond) // the operation goes on without containerd
	if _, err := w.d.Revive(ctx); err != nil {
		return true, err
	}
	<-answer // whatever it says, the request can be made again
	return true, w.awaitContainerd(ctx)
}

// awaitContainerd returns when the daemon has found a containerd that was started again:
// pulling an image that is there asks it.
func (w *world) awaitContainerd(ctx context.Context) error {
	r := &runtimeapi.PullImageRequest{Image: &runtimeapi.ImageSpec{Image: commonImages[0]}}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		_, err := w.d.Image.PullImage(ctx, r)
		if err == nil || time.Now().After(end) {
			return err
		}
	}
}

// breakStart breaks the daemon while it starts.
func (w *world) breakStart(ctx context.Context, point string, f fault) (bool, error) {
	if w.d.PID() != 0 {
		return false, errors.New("the daemon should be down")
	}
	err := w.d.StartWith(ctx, point+"="+string(f))
	if f == killed && err == nil {
		return false, fmt.Errorf("%s was not reached", point)
	}
	return true, nil
}
