package measure

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/berth-run/berth/test/bench/content"
	"github.com/berth-run/berth/test/bench/pod"
	"github.com/berth-run/berth/test/bench/report"
	"github.com/berth-run/berth/test/bench/side"
)

// | figure | how |
// | --- | --- |
// | attach.rate | a client attached over SPDY reads the 128 MiB that a container writes, which go into the log as well. A runtime may let go of a client that cannot keep up: then the container writes more slowly, until everything arrives |
// | forward.rate | a client of PortForward over SPDY reads 128 MiB from a server in the pod |
// | attach.cpu, forward.cpu | CPU time of the side for it, the container's and the log's included |
var streams = Measurement{
	Names: []string{"streams", "attach", "portforward"}, Title: "attach and port-forward",
	Full: Plan{3, 20 * time.Second},
	Run:  runStreams,
}

const (
	streamSize = 128 << 20
	serverPort = 9000
	// streamTimeout bounds one transfer: a byte that is lost must not hold everything up.
	streamTimeout = time.Minute
)

func runStreams(ctx context.Context, e *Env) error {
	writer := pod.Spec{Command: []string{content.Program, "write", strconv.Itoa(streamSize)}}
	err := e.withPod(ctx, writer, func(pods map[*side.Side]*pod.Pod) error {
		speeds := map[*side.Side]int{}
		for _, s := range e.Sides { // finds the speed out
			if _, err := attachAtBest(ctx, pods[s], speeds); err != nil {
				e.attempt(s, fmt.Errorf("attach: %w", err))
			}
		}
		return e.transfers(ctx, "attach", "attach", pods, func(ctx context.Context, p *pod.Pod) (time.Duration, error) {
			return attachAtBest(ctx, p, speeds)
		})
	})
	server := pod.Spec{Command: []string{content.Program, "serve", strconv.Itoa(serverPort), strconv.Itoa(streamSize)}}
	return errors.Join(err, e.withPod(ctx, server, func(pods map[*side.Side]*pod.Pod) error {
		return e.transfers(ctx, "forward", "port-forward", pods, func(ctx context.Context, p *pod.Pod) (time.Duration, error) {
			return receive(ctx, func(ctx context.Context, into io.Writer) error { return forward(ctx, p, into) })
		})
	}))
}

// transfers records how fast a way of getting streamSize bytes out of a pod is.
func (e *Env) transfers(ctx context.Context, name, title string, pods map[*side.Side]*pod.Pod,
	transfer func(context.Context, *pod.Pod) (time.Duration, error)) error {
	return e.rounds(ctx, func(int) error {
		return e.interleaved(ctx, func(s *side.Side) error {
			var took time.Duration
			used, err := cpuOf(ctx, s, pause, func() (err error) {
				took, err = transfer(ctx, pods[s])
				return err
			})
			if err != nil {
				return fmt.Errorf("%s: %w", title, err)
			}
			e.Result.Add(report.Metric{Name: name + ".rate", Title: title, Unit: "MiB/s", More: true}, s.Name, mebibytes(streamSize)/took.Seconds())
			e.Result.Add(report.Metric{Name: name + ".cpu", Title: "CPU of 128 MiB by " + title, Unit: "ms"}, s.Name, ms(used))
			return nil
		})
	})
}

// receive runs a transfer that has to bring streamSize bytes, and times it.
func receive(ctx context.Context, transfer func(context.Context, io.Writer) error) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, streamTimeout)
	defer cancel()
	got := &counter{want: streamSize, done: cancel}
	began := time.Now()
	err := transfer(ctx, got)
	took := time.Since(began)
	if n := got.n.Load(); n < streamSize {
		return 0, fmt.Errorf("%d of %d bytes came: %w", n, int64(streamSize), errors.Join(err, ctx.Err()))
	}
	return took, nil
}

// counter counts bytes and calls done when all are there.
type counter struct {
	n    atomic.Int64
	want int64
	done func()
}

// Write implements io.Writer.
func (c *counter) Write(p []byte) (int, error) {
	if c.n.Add(int64(len(p))) >= c.want {
		c.done()
	}
	return len(p), nil
}
