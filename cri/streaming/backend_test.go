package streaming

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	restclient "k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/klog/v2"
)

func TestMain(m *testing.M) {
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
	code := m.Run()
	klog.StopFlushDaemon()
	// The clients' heartbeats notice their end after five seconds; nothing else may last that long.
	var err error
	for deadline := time.Now().Add(8 * time.Second); time.Now().Before(deadline); {
		if err = goleak.Find(); err == nil {
			if n := sockets(); n > 0 {
				fmt.Println("sockets are left:", n)
				code = 1
			}
			os.Exit(code)
		}
	}
	fmt.Println("goroutines are left:", err)
	os.Exit(1)
}

// fakeBackend plays containers: the command says what to do.
type fakeBackend struct {
	network PodNetwork
	// started and ended count the sessions of commands.
	started, ended atomic.Int32
}

// sockets counts this process' open sockets.
func sockets() (n int) {
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		if target, _ := os.Readlink("/proc/self/fd/" + e.Name()); strings.HasPrefix(target, "socket:") {
			n++
		}
	}
	return n
}

func (b *fakeBackend) Exec(ctx context.Context, id string, cmd []string, s IO) (uint32, error) {
	b.started.Add(1)
	defer b.ended.Add(1)
	switch cmd[0] {
	case "cat":
		_, err := io.Copy(s.Stdout, s.Stdin)
		return 0, err
	case "both":
		fmt.Fprint(s.Stdout, "to out")
		fmt.Fprint(s.Stderr, "to err")
		return 0, nil
	case "exit":
		return 42, nil
	case "fail":
		return 0, errors.New("container " + id + " is not running")
	case "panic":
		panic("on purpose")
	case "nil":
		fmt.Fprintf(s.Stdout, "%v %v", s.Stdin == nil, s.Stderr == nil)
		return 0, nil
	case "size":
		select {
		case size := <-s.Resize:
			fmt.Fprintf(s.Stdout, "%dx%d", size.Width, size.Height)
		case <-ctx.Done():
		}
		return 0, nil
	case "hang": // reads nothing, writes nothing
		<-ctx.Done()
		return 0, ctx.Err()
	}
	return 127, nil
}

func (b *fakeBackend) Attach(ctx context.Context, id string, s IO) error {
	_, err := b.Exec(ctx, id, []string{id}, s)
	return err
}

func (b *fakeBackend) PodNetwork(context.Context, string) (PodNetwork, error) { return b.network, nil }

// serve runs a server until the test ends.
func serve(t *testing.T, b *fakeBackend, cfg Config) *Server {
	t.Helper()
	s, err := NewServer(cfg, b)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve() }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
		if b.started.Load() != b.ended.Load() {
			t.Errorf("%d sessions began, %d ended", b.started.Load(), b.ended.Load())
		}
	})
	return s
}

func execURL(t *testing.T, s *Server, req *runtimeapi.ExecRequest) string {
	t.Helper()
	req.ContainerId = "c1"
	resp, err := s.Exec(req)
	if err != nil {
		t.Fatal(err)
	}
	return resp.Url
}

// transports are the protocols that clients of exec and attach speak.
var transports = map[string]func(url string) (remotecommand.Executor, error){
	"spdy": func(url string) (remotecommand.Executor, error) {
		return remotecommand.NewSPDYExecutor(&restclient.Config{TLSClientConfig: insecure()}, "POST", mustParse(url))
	},
	"websocket v5": func(url string) (remotecommand.Executor, error) {
		return remotecommand.NewWebSocketExecutor(&restclient.Config{TLSClientConfig: insecure()}, "GET", url)
	},
	"websocket v4": func(url string) (remotecommand.Executor, error) {
		return remotecommand.NewWebSocketExecutorForProtocols(&restclient.Config{TLSClientConfig: insecure()}, "GET", url, "v4.channel.k8s.io")
	},
}

func insecure() restclient.TLSClientConfig { return restclient.TLSClientConfig{Insecure: true} }

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("did not come to pass within 5 s: %s", what)
		}
	}
}
