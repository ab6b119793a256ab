package measure

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
	restclient "k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/bench/pod"
	"github.com/berth-run/berth/test/bench/side"
)

// speeds are the signals by which the workload writes: as fast as it can, then slower and
// slower, from 800 to 25 MiB a second.
func speeds() []unix.Signal { return []unix.Signal{unix.SIGUSR1, 45, 44, 43, 42, 41, 40} }

// attachAtBest transfers at the first speed at which everything arrives. speed remembers
// which that is. Only the last try is timed.
func attachAtBest(ctx context.Context, p *pod.Pod, speed map[*side.Side]int) (time.Duration, error) {
	signals := speeds()
	for {
		before := int64(0)
		if info, err := os.Stat(p.LogFile()); err == nil {
			before = info.Size()
		}
		took, err := receive(ctx, func(ctx context.Context, into io.Writer) error {
			return attach(ctx, p, signals[speed[p.Side]], into)
		})
		// The next one must not get what this one did not want.
		if werr := awaitEnd(ctx, p.LogFile(), before+streamSize); werr != nil {
			return 0, errors.Join(err, werr)
		}
		if err == nil || speed[p.Side] == len(signals)-1 {
			return took, err
		}
		speed[p.Side]++
	}
}

// attach reads what the container writes until ctx ends.
func attach(ctx context.Context, p *pod.Pod, start unix.Signal, into io.Writer) error {
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
	// Nothing is to be written before the client is attached. Nobody tells when that is;
	// the pause is a small part of the time.
	go func() {
		settle(ctx, pause)
		_ = signalStart(p, start)
	}()
	return executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: into})
}

// forward reads what a server in the pod sends.
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
	defer context.AfterFunc(ctx, func() { conn.Close() })()
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

// clientConfig is for the runtime's streaming server on the loopback interface.
func clientConfig() *restclient.Config {
	return &restclient.Config{TLSClientConfig: restclient.TLSClientConfig{Insecure: true}}
}
