package streaming

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/client-go/tools/remotecommand"
	utilexec "k8s.io/client-go/util/exec"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func mustParse(s string) *url.URL {
	u, err := url.Parse(s)
	if err != nil {
		panic(err)
	}
	return u
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

type sizes []remotecommand.TerminalSize

func (q *sizes) Next() *remotecommand.TerminalSize {
	if len(*q) == 0 {
		return nil
	}
	next := (*q)[0]
	*q = (*q)[1:]
	return &next
}

// run executes a command through a transport.
func run(t *testing.T, s *Server, transport string, req *runtimeapi.ExecRequest, opts remotecommand.StreamOptions) error {
	t.Helper()
	e, err := transports[transport](execURL(t, s, req))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return e.StreamWithContext(ctx, opts)
}

func TestExec(t *testing.T) {
	for transport := range transports {
		t.Run(transport, func(t *testing.T) {
			s := serve(t, &fakeBackend{}, Config{})
			var out, errOut safeBuffer
			if err := run(t, s, transport, &runtimeapi.ExecRequest{Cmd: []string{"both"}, Stdout: true, Stderr: true},
				remotecommand.StreamOptions{Stdout: &out, Stderr: &errOut}); err != nil {
				t.Fatal(err)
			}
			if out.String() != "to out" || errOut.String() != "to err" {
				t.Errorf("stdout %q, stderr %q", out.String(), errOut.String())
			}

			err := run(t, s, transport, &runtimeapi.ExecRequest{Cmd: []string{"exit"}, Stdout: true}, remotecommand.StreamOptions{Stdout: &out})
			var exit utilexec.CodeExitError
			if !errors.As(err, &exit) || exit.Code != 42 {
				t.Errorf("exit code: %v", err)
			}
			for cmd, want := range map[string]string{"fail": "container c1 is not running", "panic": "on purpose"} {
				err := run(t, s, transport, &runtimeapi.ExecRequest{Cmd: []string{cmd}, Stdout: true}, remotecommand.StreamOptions{Stdout: &out})
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%s: %v", cmd, err)
				}
			}

			out = safeBuffer{}
			if err := run(t, s, transport, &runtimeapi.ExecRequest{Cmd: []string{"nil"}, Stdout: true}, remotecommand.StreamOptions{Stdout: &out}); err != nil {
				t.Fatal(err)
			}
			if out.String() != "true true" {
				t.Errorf("streams that were not asked for are nil: %s", out.String())
			}

			out = safeBuffer{}
			if err := run(t, s, transport, &runtimeapi.ExecRequest{Cmd: []string{"size"}, Stdin: true, Stdout: true, Tty: true},
				remotecommand.StreamOptions{Stdin: new(bytes.Buffer), Stdout: &out, Tty: true, TerminalSizeQueue: &sizes{{Width: 80, Height: 24}}}); err != nil {
				t.Fatal(err)
			}
			if out.String() != "80x24" {
				t.Errorf("size %q", out.String())
			}
		})
	}
}

// A client ends stdin and goes on reading, which the older WebSocket protocols cannot.
func TestExecStdin(t *testing.T) {
	big := strings.Repeat("0123456789abcdef", 1<<16)
	for _, transport := range []string{"spdy", "websocket v5"} {
		t.Run(transport, func(t *testing.T) {
			s := serve(t, &fakeBackend{}, Config{})
			var out safeBuffer
			if err := run(t, s, transport, &runtimeapi.ExecRequest{Cmd: []string{"cat"}, Stdin: true, Stdout: true},
				remotecommand.StreamOptions{Stdin: strings.NewReader(big), Stdout: &out}); err != nil {
				t.Fatal(err)
			}
			if out.String() != big {
				t.Errorf("%d bytes came back of %d", len(out.String()), len(big))
			}
		})
	}
}

func TestAttach(t *testing.T) {
	for transport, dial := range transports {
		t.Run(transport, func(t *testing.T) {
			s := serve(t, &fakeBackend{}, Config{})
			resp, err := s.Attach(&runtimeapi.AttachRequest{ContainerId: "both", Stdout: true, Stderr: true})
			if err != nil {
				t.Fatal(err)
			}
			e, err := dial(resp.Url)
			if err != nil {
				t.Fatal(err)
			}
			var out, errOut safeBuffer
			if err := e.StreamWithContext(context.Background(), remotecommand.StreamOptions{Stdout: &out, Stderr: &errOut}); err != nil {
				t.Fatal(err)
			}
			if out.String() != "to out" || errOut.String() != "to err" {
				t.Errorf("stdout %q, stderr %q", out.String(), errOut.String())
			}
		})
	}
}

// An exec ends with its client, whatever the client was doing.
func TestClientVanishes(t *testing.T) {
	for transport, dial := range transports {
		for _, stdin := range []bool{false, true} {
			t.Run(transport, func(t *testing.T) {
				b := &fakeBackend{}
				s := serve(t, b, Config{})
				var conns connTracker
				target := conns.proxy(t, s.Addr().String())
				u := mustParse(execURL(t, s, &runtimeapi.ExecRequest{Cmd: []string{"hang"}, Stdin: stdin, Stdout: true}))
				u.Host = target
				e, err := dial(u.String())
				if err != nil {
					t.Fatal(err)
				}
				opts := remotecommand.StreamOptions{Stdout: new(safeBuffer)}
				if stdin {
					// More than the libraries take off the socket: the command reads none of it.
					opts.Stdin = strings.NewReader(strings.Repeat("x", 64<<10))
				}
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				done := make(chan struct{})
				go func() {
					defer close(done)
					_ = e.StreamWithContext(ctx, opts)
				}()
				eventually(t, "session begins", func() bool { return b.started.Load() == 1 })
				time.Sleep(50 * time.Millisecond) // lets stdin fill up
				conns.cut()
				eventually(t, "session ends with its client", func() bool { return b.ended.Load() == 1 })
				cancel()
				<-done
			})
		}
	}
}

// The server's end ends sessions.
func TestCloseEndsSessions(t *testing.T) {
	for transport, dial := range transports {
		t.Run(transport, func(t *testing.T) {
			b := &fakeBackend{}
			s := serve(t, b, Config{})
			e, err := dial(execURL(t, s, &runtimeapi.ExecRequest{Cmd: []string{"hang"}, Stdout: true}))
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				_ = e.StreamWithContext(context.Background(), remotecommand.StreamOptions{Stdout: new(safeBuffer)})
			}()
			eventually(t, "session begins", func() bool { return b.started.Load() == 1 })
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			if err := s.Close(ctx); err != nil {
				t.Error(err)
			}
			<-done
		})
	}
}

func TestIdleTimeout(t *testing.T) {
	for transport, dial := range transports {
		t.Run(transport, func(t *testing.T) {
			b := &fakeBackend{}
			s := serve(t, b, Config{IdleTimeout: 50 * time.Millisecond})
			e, err := dial(execURL(t, s, &runtimeapi.ExecRequest{Cmd: []string{"hang"}, Stdout: true}))
			if err != nil {
				t.Fatal(err)
			}
			_ = e.StreamWithContext(context.Background(), remotecommand.StreamOptions{Stdout: new(safeBuffer)})
			eventually(t, "session ends", func() bool { return b.ended.Load() == 1 })
		})
	}
}

func TestTLS(t *testing.T) {
	// The test server has a certificate; all that is wanted of it.
	ts := httptest.NewUnstartedServer(nil)
	ts.StartTLS()
	cert := ts.TLS.Certificates[0]
	ts.Close()
	for transport := range transports {
		s := serve(t, &fakeBackend{}, Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}})
		var out safeBuffer
		if err := run(t, s, transport, &runtimeapi.ExecRequest{Cmd: []string{"nil"}, Stdout: true}, remotecommand.StreamOptions{Stdout: &out}); err != nil {
			t.Errorf("%s: %v", transport, err)
		}
	}
}

func TestURLs(t *testing.T) {
	s := serve(t, &fakeBackend{}, Config{})
	seen := map[string]bool{}
	for range 100 {
		u := execURL(t, s, &runtimeapi.ExecRequest{Cmd: []string{"nil"}, Stdout: true})
		if seen[u] || len(u[strings.LastIndex(u, "/")+1:]) < 26 {
			t.Fatalf("URL %s is not unique or can be guessed", u)
		}
		seen[u] = true
	}
	u := execURL(t, s, &runtimeapi.ExecRequest{Cmd: []string{"nil"}, Stdout: true})
	get := func(u string) int {
		resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get(u)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	// Not even another path may use it, and an attempt to makes it worthless.
	if code := get(strings.Replace(u, "/exec/", "/attach/", 1)); code != http.StatusNotFound {
		t.Errorf("other path: %d", code)
	}
	if code := get(u); code != http.StatusNotFound {
		t.Errorf("second use: %d", code)
	}
	if code := get(strings.Replace(u, "/exec/", "/exec/x", 1)); code != http.StatusNotFound {
		t.Errorf("unknown token: %d", code)
	}
}

func TestTokensExpireAndAreBounded(t *testing.T) {
	tk := newTokens()
	old, err := tk.add(1)
	if err != nil {
		t.Fatal(err)
	}
	tk.all[old] = pending{req: 1, expires: time.Now().Add(-time.Second)}
	if _, ok := tk.take(old); ok {
		t.Error("an expired token works")
	}
	for range maxTokens {
		if _, err := tk.add(1); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := tk.add(1); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("one too many: %v", err)
	}
	for k, p := range tk.all {
		p.expires = time.Now().Add(-time.Second)
		tk.all[k] = p
		break
	}
	if _, err := tk.add(1); err != nil {
		t.Errorf("after one expired: %v", err)
	}
}

func TestBadRequests(t *testing.T) {
	s := serve(t, &fakeBackend{}, Config{})
	for name, err := range map[string]error{
		"no container":  second(s.Exec(&runtimeapi.ExecRequest{Cmd: []string{"x"}, Stdout: true})),
		"no command":    second(s.Exec(&runtimeapi.ExecRequest{ContainerId: "c", Stdout: true})),
		"no streams":    second(s.Exec(&runtimeapi.ExecRequest{ContainerId: "c", Cmd: []string{"x"}})),
		"tty, stderr":   second(s.Attach(&runtimeapi.AttachRequest{ContainerId: "c", Tty: true, Stdout: true, Stderr: true})),
		"no pod":        second(s.PortForward(&runtimeapi.PortForwardRequest{})),
		"port too high": second(s.PortForward(&runtimeapi.PortForwardRequest{PodSandboxId: "p", Port: []int32{65536}})),
	} {
		if status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestBaseURL(t *testing.T) {
	for _, c := range []struct{ addr, host, want string }{
		{"127.0.0.1:80", "127.0.0.1", "http://127.0.0.1:80"},
		{"0.0.0.0:80", "0.0.0.0", "http://127.0.0.1:80"},
		{"[::]:80", "::", "http://[::1]:80"},
		{"[::]:80", "", "http://127.0.0.1:80"},
		{"10.1.2.3:80", "node.example", "http://node.example:80"},
	} {
		addr, err := net.ResolveTCPAddr("tcp", c.addr)
		if err != nil {
			t.Fatal(err)
		}
		host := c.host
		u := baseURL(addr, host, false)
		if u.String() != c.want {
			t.Errorf("%s %q: %s, want %s", c.addr, c.host, u.String(), c.want)
		}
	}
}
