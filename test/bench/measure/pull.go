package measure

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/bench/content"
	"github.com/berth-run/berth/test/bench/pod"
	"github.com/berth-run/berth/test/bench/report"
	"github.com/berth-run/berth/test/bench/side"
)

// | figure | how |
// | --- | --- |
// | pull.one-gzip, .many-gzip, .small-gzip | PullImage of 1 × 300 MiB, of 20 × 10 MiB, of 20,000 files of 2 kB; a registry on the loopback interface; the image was removed before, and the registry's counters show that all of it was fetched again |
// | pull.*-zstd | the same, compressed with zstd |
// | pull.callers | many-gzip by ten callers at once, until the last one has it |
//
// The side "floor" is what floor.go does: fetch, verify and unpack, with no runtime at all.
var pull = Measurement{
	Names: []string{"pull"}, Title: "image pulls",
	Full: Plan{3, 15 * time.Second}, Quick: Plan{2, 6 * time.Second},
	Run: runPull,
}

func runPull(ctx context.Context, e *Env) error {
	shapes, compressions := content.Shapes(), content.Compressions()
	if e.Quick {
		shapes, compressions = shapes[1:2], compressions[:1]
	}
	for _, shape := range shapes {
		for _, comp := range compressions {
			e.logf("pull: making the image %s", shape.Ref(comp))
			if err := shape.Push(e.Host.Registry, comp); err != nil {
				return err
			}
			if err := pullShape(ctx, e, shape, comp); err != nil {
				return err
			}
		}
	}
	return nil
}

func pullShape(ctx context.Context, e *Env, shape content.Shape, comp string) error {
	m := report.Metric{
		Name: "pull." + shape.Name + "-" + comp, Title: "pull of " + shape.Title + ", " + comp, Unit: "ms",
	}
	callers := report.Metric{Name: "pull.callers", Title: "pull of " + shape.Title + ", 10 callers", Unit: "ms"}
	return e.rounds(ctx, func(round int) error {
		for _, verify := range []bool{false, true} {
			if !verify && round > 0 {
				continue // it is no more than an explanation
			}
			took, err := e.floor(ctx, shape, comp, verify)
			if err != nil {
				return fmt.Errorf("the floor of a pull: %w", err)
			}
			e.Result.Add(m, floorName(verify), ms(took))
		}
		err := e.interleaved(ctx, func(s *side.Side) error { return e.timePull(ctx, s, shape, comp, 1, m) })
		if err != nil || shape.Name != "many" || comp != "gzip" || e.Quick || round > 0 {
			return err
		}
		return e.interleaved(ctx, func(s *side.Side) error { return e.timePull(ctx, s, shape, comp, 10, callers) })
	})
}

// timePull pulls an image by so many callers at once, and removes it.
func (e *Env) timePull(ctx context.Context, s *side.Side, shape content.Shape, comp string, callers int, m report.Metric) error {
	ref := shape.Ref(comp)
	e.Host.Registry.ResetRequests()
	settle(ctx, 2*pause)
	var g errgroup.Group
	began := time.Now()
	for range callers {
		g.Go(func() error { return pod.Pull(ctx, s, ref) })
	}
	if err := g.Wait(); err != nil {
		return errors.Join(err, removeImage(ctx, s, ref))
	}
	took := time.Since(began)
	// The configuration is a blob, too.
	if n := e.Host.Registry.CountRequests("GET", "/blobs/"); n < shape.Layers+1 {
		return errors.Join(fmt.Errorf("%s fetched only %d blobs of %s: something was left of the last pull", s.Name, n, ref), removeImage(ctx, s, ref))
	}
	e.Result.Add(m, s.Name, ms(took))
	return removeImage(ctx, s, ref)
}

func removeImage(ctx context.Context, s *side.Side, ref string) error {
	_, err := s.Image.RemoveImage(context.WithoutCancel(ctx), &runtimeapi.RemoveImageRequest{Image: &runtimeapi.ImageSpec{Image: s.Ref(ref)}})
	return err
}

func floorName(verified bool) string {
	if verified {
		return report.Floor
	}
	return report.Unverified
}
