package streaming

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	restclient "k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/streaming/pkg/httpstream"

	"github.com/berth-run/berth/internal/netns"
)

// podNetwork makes a network namespace with loopback, or skips.
func podNetwork(t *testing.T) PodNetwork {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root to make a network namespace")
	}
	dir := t.TempDir()
	if err := netns.Create(context.Background(), netns.Spec{Dir: dir, Net: true}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := netns.Remove(context.Background(), dir); err != nil {
			t.Error(err)
		}
	})
	return PodNetwork{NetnsPath: netns.Path(dir, netns.Net)}
}

// podServer serves each connection on a free port of address, in the pod.
func podServer(t *testing.T, network PodNetwork, address string, handle func(*net.TCPConn)) int {
	t.Helper()
	var l net.Listener
	listen := func() (err error) {
		l, err = net.Listen("tcp", net.JoinHostPort(address, "0"))
		return err
	}
	var err error
	if network.Host {
		err = listen()
	} else {
		err = netns.Do(network.NetnsPath, listen)
	}
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go handle(c.(*net.TCPConn))
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().(*net.TCPAddr).Port
}

// upper answers what it read, in capitals, once the client has ended its side.
func upper(c *net.TCPConn) {
	defer c.Close()
	b, _ := io.ReadAll(c)
	_, _ = c.Write(bytes.ToUpper(b))
}

func forwardURL(t *testing.T, s *Server, ports ...int32) string {
	t.Helper()
	resp, err := s.PortForward(&runtimeapi.PortForwardRequest{PodSandboxId: "p1", Port: ports})
	if err != nil {
		t.Fatal(err)
	}
	return resp.Url
}

// dialers are the protocols that clients of port-forward speak, but for the old WebSocket one.
var dialers = map[string]func(url string) (httpstream.Dialer, error){
	"spdy": func(u string) (httpstream.Dialer, error) {
		transport, upgrader, err := spdy.RoundTripperFor(&restclient.Config{TLSClientConfig: insecure()})
		if err != nil {
			return nil, err
		}
		return spdy.NewDialerForStreaming(upgrader, &http.Client{Transport: transport}, "POST", mustParse(u)), nil
	},
	"tunnel": func(u string) (httpstream.Dialer, error) {
		return portforward.NewSPDYOverWebsocketDialerForStreaming(mustParse(u), &restclient.Config{TLSClientConfig: insecure()})
	},
}

// forward runs a client that listens on a free port and returns it.
func forward(t *testing.T, transport, u string, port int) (local int, stop func(), errs *safeBuffer) {
	t.Helper()
	d, err := dialers[transport](u)
	if err != nil {
		t.Fatal(err)
	}
	stopCh, ready := make(chan struct{}), make(chan struct{})
	errs = &safeBuffer{}
	pf, err := portforward.NewForStreaming(d, []string{":" + strconv.Itoa(port)}, stopCh, ready, io.Discard, errs)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- pf.ForwardPorts() }()
	select {
	case <-ready:
	case err := <-done:
		t.Fatalf("port-forward: %v", err)
	}
	ports, err := pf.GetPorts()
	if err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			close(stopCh)
			<-done
		}
	}
	t.Cleanup(stop)
	return int(ports[0].Local), stop, errs
}

func ask(t *testing.T, port int, text string) string {
	t.Helper()
	c, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	// Half-closed: the answer comes after the end of the question.
	_ = c.(*net.TCPConn).CloseWrite()
	b, err := io.ReadAll(c)
	if err != nil {
		t.Errorf("read: %v", err)
	}
	return string(b)
}

func TestPortForward(t *testing.T) {
	network := podNetwork(t)
	big := strings.Repeat("abcdefgh", 1<<17)
	for name, where := range map[string]struct {
		network PodNetwork
		address string
	}{
		"IPv4":         {network, "127.0.0.1"},
		"IPv6":         {network, "::1"},
		"host network": {PodNetwork{Host: true}, "127.0.0.1"},
	} {
		for transport := range dialers {
			t.Run(transport+" "+name, func(t *testing.T) {
				port := podServer(t, where.network, where.address, upper)
				s := serve(t, &fakeBackend{network: where.network}, Config{})
				local, _, _ := forward(t, transport, forwardURL(t, s), port)
				for range 3 {
					if got := ask(t, local, "hello"); got != "HELLO" {
						t.Errorf("got %q", got)
					}
				}
				if got := ask(t, local, big); got != strings.ToUpper(big) {
					t.Errorf("%d of %d bytes came back", len(got), len(big))
				}
			})
		}
	}
}

func TestPortForwardRefused(t *testing.T) {
	network := podNetwork(t)
	for transport := range dialers {
		t.Run(transport, func(t *testing.T) {
			port := podServer(t, network, "127.0.0.1", upper)
			s := serve(t, &fakeBackend{network: network}, Config{})
			d, err := dialers[transport](forwardURL(t, s))
			if err != nil {
				t.Fatal(err)
			}
			conn, _, err := d.Dial("portforward.k8s.io")
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if msg := openPair(t, conn, 1, "1"); !strings.Contains(msg, "connection refused") || !strings.Contains(msg, "pod p1") {
				t.Errorf("nobody listens: %q", msg)
			}
			// The connection is good for other ports.
			h := http.Header{}
			h.Set("port", strconv.Itoa(port))
			h.Set("requestID", "2")
			h.Set("streamType", "error")
			if _, err := conn.CreateStream(h); err != nil {
				t.Fatal(err)
			}
			h.Set("streamType", "data")
			data, err := conn.CreateStream(h)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprint(data, "again")
			data.Close()
			if b, _ := io.ReadAll(data); string(b) != "AGAIN" {
				t.Errorf("got %q", b)
			}
		})
	}
}

// openPair opens the two streams of one forwarded connection and reads the error.
func openPair(t *testing.T, conn httpstream.Connection, port int, id string) string {
	t.Helper()
	h := http.Header{}
	h.Set("port", strconv.Itoa(port))
	h.Set("requestID", id)
	h.Set("streamType", "error")
	errs, err := conn.CreateStream(h)
	if err != nil {
		t.Fatal(err)
	}
	errs.Close()
	h.Set("streamType", "data")
	if _, err := conn.CreateStream(h); err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(errs)
	return string(b)
}

// Both ends of a pod's connection go when the client vanishes in the middle.
func TestPortForwardClientVanishes(t *testing.T) {
	network := podNetwork(t)
	for transport := range dialers {
		t.Run(transport, func(t *testing.T) {
			closed := make(chan struct{}, 1)
			port := podServer(t, network, "127.0.0.1", func(c *net.TCPConn) {
				defer c.Close()
				fmt.Fprintln(c, "hello")
				_, _ = io.ReadAll(c)
				closed <- struct{}{}
			})
			s := serve(t, &fakeBackend{network: network}, Config{})
			var conns connTracker
			u := mustParse(forwardURL(t, s))
			u.Host = conns.proxy(t, s.Addr().String())
			local, stop, _ := forward(t, transport, u.String(), port)
			c, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(local))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if line, err := bufio.NewReader(c).ReadString('\n'); line != "hello\n" {
				t.Fatal(line, err)
			}
			conns.cut()
			select {
			case <-closed:
			case <-time.After(5 * time.Second):
				t.Error("the pod's connection is still open")
			}
			stop()
		})
	}
}

// The older WebSocket protocol has the ports in the request and two channels for each.
func TestPortForwardWebSocketV4(t *testing.T) {
	network := podNetwork(t)
	port := podServer(t, network, "127.0.0.1", func(c *net.TCPConn) {
		defer c.Close()
		b := make([]byte, 5)
		_, _ = io.ReadFull(c, b)
		_, _ = c.Write(bytes.ToUpper(b))
	})
	s := serve(t, &fakeBackend{network: network}, Config{})
	d := websocket.Dialer{Subprotocols: []string{"v4.channel.k8s.io"}}
	ws, resp, err := d.Dial(strings.Replace(forwardURL(t, s, int32(port)), "http", "ws", 1), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	defer ws.Close()
	if err := ws.WriteMessage(websocket.BinaryMessage, append([]byte{0}, "hello"...)); err != nil {
		t.Fatal(err)
	}
	var data []byte
	for len(data) < 7 {
		_, msg, err := ws.ReadMessage()
		if err != nil {
			t.Fatalf("after %q: %v", data, err)
		}
		if msg[0] == 0 {
			data = append(data, msg[1:]...)
		}
	}
	if want := string([]byte{byte(port), byte(port >> 8)}) + "HELLO"; string(data) != want {
		t.Errorf("got %q, want %q", data, want)
	}
}

func TestDialTimesOut(t *testing.T) {
	network := podNetwork(t)
	var fd net.Listener
	if err := netns.Do(network.NetnsPath, func() (err error) {
		fd, err = net.Listen("tcp", "127.0.0.1:0")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer fd.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := dialPod(ctx, network, int32(fd.Addr().(*net.TCPAddr).Port), time.Second); err != nil && ctx.Err() == nil {
		t.Error(err)
	}
	if _, err := dialPod(context.Background(), PodNetwork{NetnsPath: "/nonexistent"}, 1, time.Second); err == nil {
		t.Error("a namespace that does not exist")
	}
}
