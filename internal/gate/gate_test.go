package gate

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/berth-run/berth/internal/budget"
)

// serve runs a server behind a gate; /hold answers once the channel is closed.
func serve(t *testing.T) (address string, held chan struct{}, entered chan struct{}) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	held, entered = make(chan struct{}), make(chan struct{}, 1)
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hold" {
			entered <- struct{}{}
			<-held
		}
		_, _ = io.WriteString(w, "ok")
	})}
	g := New(l, "test")
	g.Attach(s)
	done := make(chan error, 1)
	go func() { done <- s.Serve(g) }()
	t.Cleanup(func() {
		_ = s.Close()
		<-done
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.open != 0 || g.waiting.Len() != 0 {
			t.Errorf("%d connections are open at the end, %d wait", g.open, g.waiting.Len())
		}
	})
	return l.Addr().String(), held, entered
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func ask(t *testing.T, c net.Conn, path string) string {
	t.Helper()
	if _, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	return answer(t, c)
}

func answer(t *testing.T, c net.Conn) string {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// ended reports whether the server has closed a connection; it waits for the end.
func ended(c net.Conn) bool {
	_, err := c.Read(make([]byte, 1))
	return err != nil
}

// TestWaitingConnectionsGo: those that ask nothing, or do not come to an end with asking, are closed for
// others, the oldest first; one that is being served stays, and new ones are served.
func TestWaitingConnectionsGo(t *testing.T) {
	address, held, entered := serve(t)
	busy := dial(t, address)
	if _, err := io.WriteString(busy, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-entered
	most := min(Share(budget.WaitingShare), budget.MostWaiting)
	first, asked := dial(t, address), dial(t, address)
	if _, err := io.WriteString(first, "GET / HT"); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, asked, "/"); got != "ok" {
		t.Errorf("answer %q", got)
	}
	for range 3 * most {
		dial(t, address)
	}
	if !ended(first) || !ended(asked) {
		t.Error("the oldest connections are still open")
	}
	if got := ask(t, dial(t, address), "/"); got != "ok" {
		t.Errorf("answer to a new client %q", got)
	}
	close(held)
	if got := answer(t, busy); got != "ok" {
		t.Errorf("answer to the one that was being served %q", got)
	}
}

// TestShare: shares follow the limit of the process.
func TestShare(t *testing.T) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if got := Share(8); got != max(int(min(limit.Cur, 1<<20))/8, 4) {
		t.Errorf("an eighth of %d is %d", limit.Cur, got)
	}
	if got := Share(1 << 30); got != 4 {
		t.Errorf("the least is %d", got)
	}
}
