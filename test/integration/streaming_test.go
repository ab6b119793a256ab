package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	utilexec "k8s.io/client-go/util/exec"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
	"github.com/berth-run/berth/test/images"
)

// protocols are the ways to talk to a URL of Exec or Attach, as kubectl does.
var protocols = map[string]func(string) (remotecommand.Executor, error){
	"SPDY": func(address string) (remotecommand.Executor, error) {
		u, err := url.Parse(address)
		if err != nil {
			return nil, err
		}
		return remotecommand.NewSPDYExecutor(&rest.Config{}, http.MethodPost, u)
	},
	"WebSocket": func(address string) (remotecommand.Executor, error) {
		return remotecommand.NewWebSocketExecutor(&rest.Config{}, http.MethodGet, address)
	},
}

// eachProtocol runs a test over each of them.
func eachProtocol(t *testing.T, d *daemon.Daemon, test func(t *testing.T, s *streamer)) {
	t.Helper()
	for name, connect := range protocols {
		t.Run(name, func(t *testing.T) { test(t, &streamer{d: d, connect: connect}) })
	}
}

type streamer struct {
	d       *daemon.Daemon
	connect func(string) (remotecommand.Executor, error)
}

// exec runs a command with streams.
func (s *streamer) exec(ctx context.Context, c *daemon.Container, o remotecommand.StreamOptions, command ...string) error {
	resp, err := s.d.Runtime.Exec(ctx, &runtimeapi.ExecRequest{
		ContainerId: c.ID, Cmd: command, Tty: o.Tty, Stdin: o.Stdin != nil, Stdout: o.Stdout != nil, Stderr: o.Stderr != nil,
	})
	if err != nil {
		return err
	}
	return s.stream(ctx, resp.GetUrl(), o)
}

// attach connects streams to the container's first process.
func (s *streamer) attach(ctx context.Context, c *daemon.Container, o remotecommand.StreamOptions) error {
	resp, err := s.d.Runtime.Attach(ctx, &runtimeapi.AttachRequest{
		ContainerId: c.ID, Tty: o.Tty, Stdin: o.Stdin != nil, Stdout: o.Stdout != nil, Stderr: o.Stderr != nil,
	})
	if err != nil {
		return err
	}
	return s.stream(ctx, resp.GetUrl(), o)
}

func (s *streamer) stream(ctx context.Context, address string, o remotecommand.StreamOptions) error {
	executor, err := s.connect(address)
	if err != nil {
		return err
	}
	return executor.StreamWithContext(ctx, o)
}

func TestExecStreams(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		c := d.RunPod(t).Run(t)
		eachProtocol(t, d, func(t *testing.T, s *streamer) {
			ctx := daemon.Context(t)
			var out, errOut bytes.Buffer
			err := s.exec(ctx, c, remotecommand.StreamOptions{Stdout: &out, Stderr: &errOut}, "sh", "-c", "echo out; echo err >&2; exit 6")
			var exit utilexec.CodeExitError
			if out.String() != "out\n" || errOut.String() != "err\n" || !errors.As(err, &exit) || exit.Code != 6 {
				t.Errorf("stdout %q, stderr %q, %v", &out, &errOut, err)
			}
			// A megabyte there and back: the end of stdin is passed on.
			in := strings.Repeat("0123456789abcde\n", 1<<16)
			out.Reset()
			err = s.exec(ctx, c, remotecommand.StreamOptions{Stdin: strings.NewReader(in), Stdout: &out}, "cat")
			if err != nil || out.String() != in {
				t.Errorf("cat: %d bytes of %d, %v", out.Len(), len(in), err)
			}
			out.Reset()
			err = s.exec(ctx, c, remotecommand.StreamOptions{Stdout: &out, Stderr: &errOut}, "/no/such/program")
			if err == nil || !strings.Contains(err.Error(), "/no/such/program") {
				t.Errorf("a program that is missing: %v", err)
			}
		})
	})
}

// slowWriter is a client behind a thin link: at first it takes nothing at all.
type slowWriter struct {
	got   int
	until time.Time
}

func (w *slowWriter) Write(b []byte) (int, error) {
	time.Sleep(time.Until(w.until)) // this is the fault, not a wait for something
	w.got += len(b)
	return len(b), nil
}

// TestExecSlowClient: a client that takes the output long after the command has ended
// gets all of it.
func TestExecSlowClient(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		c := d.RunPod(t).Run(t)
		eachProtocol(t, d, func(t *testing.T, s *streamer) {
			const size = 1 << 20
			out := &slowWriter{until: time.Now().Add(2500 * time.Millisecond)}
			err := s.exec(daemon.Context(t), c, remotecommand.StreamOptions{Stdout: out}, "head", "-c", fmt.Sprint(size), "/dev/zero")
			if err != nil || out.got != size {
				t.Errorf("%d bytes of %d, %v", out.got, size, err)
			}
		})
	})
}

// sizes are those of a terminal that is resized.
type sizes chan remotecommand.TerminalSize

func (s sizes) Next() *remotecommand.TerminalSize {
	size, ok := <-s
	if !ok {
		return nil
	}
	return &size
}

func TestExecTerminal(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		c := d.RunPod(t).Run(t)
		eachProtocol(t, d, func(t *testing.T, s *streamer) {
			in, typed := io.Pipe()
			out := &transcript{}
			resize := make(sizes, 2)
			resize <- remotecommand.TerminalSize{Width: 91, Height: 17}
			done := make(chan error, 1)
			go func() {
				done <- s.exec(daemon.Context(t), c, remotecommand.StreamOptions{Stdin: in, Stdout: out, Tty: true, TerminalSizeQueue: resize}, "sh")
			}()
			daemon.Eventually(t, "17 91 on the terminal", func() bool {
				fmt.Fprintln(typed, "stty size")
				return strings.Contains(out.String(), "17 91")
			})
			resize <- remotecommand.TerminalSize{Width: 120, Height: 40}
			daemon.Eventually(t, "40 120 on the terminal", func() bool {
				fmt.Fprintln(typed, "stty size")
				return strings.Contains(out.String(), "40 120")
			})
			fmt.Fprintln(typed, "exit 0")
			if err := <-done; err != nil {
				t.Errorf("%v; the terminal: %q", err, out)
			}
			close(resize)
		})
	})
}

// transcript collects what a stream brings.
type transcript struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *transcript) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *transcript) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// TestExecHangUp leaves while a command runs: it is ended.
func TestExecHangUp(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		c := d.RunPod(t).Run(t)
		eachProtocol(t, d, func(t *testing.T, s *streamer) {
			ctx, hangUp := context.WithCancel(daemon.Context(t))
			out := &transcript{}
			done := make(chan error, 1)
			go func() {
				done <- s.exec(ctx, c, remotecommand.StreamOptions{Stdout: out}, "sh", "-c", "echo here; sleep 54321")
			}()
			daemon.Eventually(t, "running: the command", func() bool { return strings.Contains(out.String(), "here") })
			hangUp()
			<-done
			daemon.Eventually(t, "gone: the command", func() bool { return !strings.Contains(c.Output(t, "ps"), "54321") })
		})
	})
}

func TestAttach(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		eachProtocol(t, d, func(t *testing.T, s *streamer) {
			ctx := daemon.Context(t)
			c := d.RunPod(t).RunWith(t, daemon.WithShell(`echo ready; while read -r line; do echo "got $line"; echo "err $line" >&2; done; exit 3`),
				func(c *runtimeapi.ContainerConfig) { c.Stdin, c.StdinOnce = true, true })
			c.WaitLog(t, "ready")
			// One watches, another one types.
			watched, watching := &transcript{}, make(chan error, 1)
			go func() { watching <- s.attach(ctx, c, remotecommand.StreamOptions{Stdout: watched, Stderr: watched}) }()
			in, typed := io.Pipe()
			out, typing := &transcript{}, make(chan error, 1)
			go func() { typing <- s.attach(ctx, c, remotecommand.StreamOptions{Stdin: in, Stdout: out}) }()
			fmt.Fprintln(typed, "one")
			daemon.Eventually(t, "answered: the first line", func() bool { return strings.Contains(out.String(), "got one\n") })
			daemon.Eventually(t, "at the second one as well", func() bool {
				// Its own connection may have come later than the line.
				return strings.Contains(watched.String(), "got ") || func() bool { fmt.Fprintln(typed, "again"); return false }()
			})
			typed.Close() // stdin once: the container reads its end
			if status := c.WaitExited(t); status.GetExitCode() != 3 {
				t.Errorf("ended with %d", status.GetExitCode())
			}
			if err := errors.Join(<-watching, <-typing); err != nil {
				t.Errorf("attach: %v", err)
			}
			if log := c.LogText(t, "stdout"); !strings.Contains(log, "got one\n") {
				t.Errorf("log %q", log)
			}
		})
	})
}

// TestAttachStays attaches to a container whose stdin stays open: the next one goes on.
func TestAttachStays(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		c := d.RunPod(t).RunWith(t, daemon.WithShell(`while read -r line; do echo "got $line"; done`),
			func(c *runtimeapi.ContainerConfig) { c.Stdin = true })
		eachProtocol(t, d, func(t *testing.T, s *streamer) {
			for n := range 2 {
				ctx, leave := context.WithCancel(daemon.Context(t))
				in, typed := io.Pipe()
				out, done := &transcript{}, make(chan error, 1)
				go func() { done <- s.attach(ctx, c, remotecommand.StreamOptions{Stdin: in, Stdout: out}) }()
				fmt.Fprintln(typed, "line", n)
				daemon.Eventually(t, "answered", func() bool { return strings.Contains(out.String(), "got line "+itoa(n)) })
				leave()
				<-done
				typed.Close()
			}
		})
		if c.State(t) != runtimeapi.ContainerState_CONTAINER_RUNNING {
			t.Error("the container has ended")
		}
	})
}

// TestPortForward connects to a port in the pod over SPDY, and over SPDY in a WebSocket.
func TestPortForward(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		pod := d.RunPod(t)
		echo := pod.RunWith(t, daemon.WithImage(images.Tools), daemon.WithCommand("netecho", "-tcp", "127.0.0.1:7000"))
		echo.WaitLog(t, "listening")
		for name, webSocket := range map[string]bool{"SPDY": false, "WebSocket": true} {
			t.Run(name, func(t *testing.T) { forward(t, d, pod, webSocket) })
		}
	})
}

func forward(t *testing.T, d *daemon.Daemon, pod *daemon.Pod, webSocket bool) {
	t.Helper()
	resp, err := d.Runtime.PortForward(daemon.Context(t), &runtimeapi.PortForwardRequest{PodSandboxId: pod.ID})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(resp.GetUrl())
	if err != nil {
		t.Fatal(err)
	}
	transport, upgrader, err := spdy.RoundTripperFor(&rest.Config{})
	if err != nil {
		t.Fatal(err)
	}
	dialer := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, u)
	if webSocket {
		if dialer, err = portforward.NewSPDYOverWebsocketDialer(u, &rest.Config{}); err != nil {
			t.Fatal(err)
		}
	}
	stop, ready := make(chan struct{}), make(chan struct{})
	forwarder, err := portforward.NewOnAddresses(dialer, []string{"127.0.0.1"}, []string{"0:7000", "0:7001"}, stop, ready, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- forwarder.ForwardPorts() }()
	select {
	case <-ready:
	case err := <-ended:
		t.Fatalf("forwarding: %v", err)
	}
	ports, err := forwarder.GetPorts()
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		wantEcho(t, "tcp", net.JoinHostPort("127.0.0.1", itoa(int(ports[0].Local))), 1<<20)
	}
	// Nobody listens at the other one: the connection ends.
	if err := tryEcho("tcp", net.JoinHostPort("127.0.0.1", itoa(int(ports[1].Local))), 16); err == nil {
		t.Error("an answer from a port where nobody listens")
	}
	close(stop)
	<-ended
}
