package streaming

import (
	"io"
	"net"
	"sync"
	"testing"
)

// connTracker stands between a client and the server, to cut their connections like a
// client that vanishes.
type connTracker struct {
	mu    sync.Mutex
	conns []net.Conn
}

func (c *connTracker) proxy(t *testing.T, target string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", target)
			if err != nil {
				client.Close()
				return
			}
			c.mu.Lock()
			c.conns = append(c.conns, client, server)
			c.mu.Unlock()
			wg.Add(2)
			go func() { defer wg.Done(); _, _ = io.Copy(server, client) }()
			go func() { defer wg.Done(); _, _ = io.Copy(client, server) }()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		c.cut()
		wg.Wait()
	})
	return l.Addr().String()
}

// cut closes all connections.
func (c *connTracker) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		conn.Close()
	}
	c.conns = nil
}
