package measure

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	restclient "k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/bench/content"
	"github.com/berth-run/berth/test/bench/pod"
	"github.com/berth-run/berth/test/bench/report"
	"github.com/berth-run/berth/test/bench/side"
)

// | figure | how |
// | --- | --- |
// | attach.rate | a client attached over SPDY reads what a container writes, which goes into the log as well: 256 MiB |
// | attach.cpu, forward.cpu | CPU time of the side for it, the container's and the log's included |
// | forward.rate | a client of PortForward over SPDY reads 256 MiB from a server in the pod |
var streams = Measurement{
	Names: []string{"streams", "attach", "portforward"}, Title: "attach and port-forward",
	Full: Plan{3, 50 * time.Second},
	Run:  runStreams,
}

const (
	streamSize = 256 << 20
	serverPort = 9000
	// streamTimeout bounds one transfer: a byte that is lost must not hold everything up.
	streamTimeout = time.Minute
)

func runStreams(ctx context.Context, e *Env) error {
	writer := pod.Spec{Command: []string{content.Program, "write", strconv.Itoa(streamSize)}}
	err := e.withPod(ctx, writer, func(pods map[*side.Side]*pod.Pod) error {
		return e.transfers(ctx, "attach", "attach", pods, attach)
	})
	server := pod.Spec{Command: []string{content.Program, "serve", strconv.Itoa(serverPort), strconv.Itoa(streamSize)}}
	return errors.Join(err, e.withPod(ctx, server, func(pods map[*side.Side]*pod.Pod) error {
		return e.transfers(ctx, "forward", "port-forward", pods, forward)
	}))
}

// transfers times a way of getting streamSize bytes out of a pod.
func (e *Env) transfers(ctx context.Context, name, title string, pods map[*side.Side]*pod.Pod,
	transfer func(context.Context, *pod.Pod, io.Writer) error) error {
	return e.rounds(ctx, func(int) error {
		return e.interleaved(ctx, func(s *side.Side) error {
			ctx, cancel := context.WithTimeout(ctx, streamTimeout)
			defer cancel()
			got := &counter{want: streamSize, done: cancel}
			var took time.Duration
			used, err := cpuOf(context.WithoutCancel(ctx), s, pause, func() error {
				began := time.Now()
				err := transfer(ctx, pods[s], got)
				took = time.Since(began)
				if n := got.n.Load(); n < streamSize {
					return fmt.Errorf("%s: %d of %d bytes came: %w", title, n, int64(streamSize), errors.Join(err, ctx.Err()))
				}
				return nil
			})
			if err != nil {
				return err
			}
			e.Result.Add(report.Metric{Name: name + ".rate", Title: title, Unit: "MiB/s", More: true}, s.Name, mebibytes(streamSize)/took.Seconds())
			e.Result.Add(report.Metric{Name: name + ".cpu", Title: "CPU of 256 MiB by " + title, Unit: "ms"}, s.Name, ms(used))
			return nil
		})
	})
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

// clientConfig is for the runtime's streaming server on the loopback interface.
func clientConfig() *restclient.Config {
	return &restclient.Config{TLSClientConfig: restclient.TLSClientConfig{Insecure: true}}
}

func attach(ctx context.Context, p *pod.Pod, into io.Writer) error {
	resp, err := p.Side.Runtime.Attach(ctx, &runtimeapi.AttachRequest{ContainerId: p.ContainerID, Stdout: true})
	if err != nil {
		return err
	}
	u, err := url.Parse(resp.GetUrl())
	if err != nil {
		return err
	}
	executor, err := remotecommand.NewSPDYExecutor(clientConfig(), http.MethodPost, u)
	if err != nil {
		return err
	}
	// Attached before anything is written; the little pause is a small part of the time.
	go func() {
		settle(ctx, 20*time.Millisecond)
		_ = signalStart(p)
	}()
	return executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: into})
}

func forward(ctx context.Context, p *pod.Pod, into io.Writer) error {
	resp, err := p.Side.Runtime.PortForward(ctx, &runtimeapi.PortForwardRequest{PodSandboxId: p.ID, Port: []int32{serverPort}})
	if err != nil {
		return err
	}
	u, err := url.Parse(resp.GetUrl())
	if err != nil {
		return err
	}
	transport, upgrader, err := spdy.RoundTripperFor(clientConfig())
	if err != nil {
		return err
	}
	dialer := spdy.NewDialerForStreaming(upgrader, &http.Client{Transport: transport}, http.MethodPost, u)
	conn, _, err := dialer.Dial("portforward.k8s.io")
	if err != nil {
		return err
	}
	defer conn.Close()
	context.AfterFunc(ctx, func() { conn.Close() })
	header := http.Header{}
	header.Set("port", strconv.Itoa(serverPort))
	header.Set("requestID", "0")
	header.Set("streamType", "error")
	failure, err := conn.CreateStream(header)
	if err != nil {
		return err
	}
	failure.Close() // nothing is sent that way
	header.Set("streamType", "data")
	data, err := conn.CreateStream(header)
	if err != nil {
		return err
	}
	_, err = io.Copy(into, data)
	return err
}
