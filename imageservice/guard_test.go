package imageservice

import (
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/errdefs"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/internal/budget"
)

// ask makes a request for a registry host.
func ask(t *testing.T, g *guard, kind answerKind, url string) (*http.Response, error) {
	t.Helper()
	e := &endpoint{guard: g}
	req, err := http.NewRequestWithContext(expecting(e.guarded(t.Context()), kind), http.MethodGet, url, nil)
	check(t, err)
	req.SetBasicAuth("joe", "pw")
	transport := newGuardedTransport(docker.DefaultHTTPTransport(&tls.Config{}))
	t.Cleanup(transport.CloseIdleConnections)
	return transport.RoundTrip(req)
}

// TestGuardedAddresses sends the node where only the node can get.
func TestGuardedAddresses(t *testing.T) {
	var reached atomic.Int32
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer inside.Close()
	port := inside.URL[strings.LastIndex(inside.URL, ":")+1:]
	far := &guard{host: "registry.example"}
	far.plain.Store(true)
	for _, url := range []string{inside.URL, "http://localhost:" + port, "http://[::ffff:127.0.0.1]:" + port, "http://0.0.0.0:" + port,
		"http://169.254.169.254/latest/meta-data", "http://[fe80::1%25lo]:" + port} {
		for _, kind := range []answerKind{answerToken, answerBlob, answerManifest} {
			if _, err := ask(t, far, kind, url); !errors.Is(err, errForbidden) {
				t.Errorf("%s, %v: %v", url, kind, err)
			}
		}
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("%d requests arrived", n)
	}
	near := &guard{host: "localhost:1"}
	resp, err := ask(t, near, answerBlob, inside.URL)
	if err != nil {
		t.Fatalf("from a registry on loopback: %v", err)
	}
	resp.Body.Close()
}

func TestNodeOnly(t *testing.T) {
	for ip, want := range map[string]string{
		"127.0.0.1": "loopback", "127.9.9.9": "loopback", "::1": "loopback", "0.0.0.0": "loopback", "::": "loopback",
		"::ffff:127.0.0.1": "loopback", "169.254.169.254": "link-local", "fe80::1": "link-local", "224.0.0.1": "multicast",
		"100.100.100.200": "metadata", "fd00:ec2::254": "metadata", "10.0.0.1": "", "192.168.1.1": "", "1.1.1.1": "", "2001:db8::1": "", "fd00::1": "",
	} {
		if got := nodeOnly(netip.MustParseAddr(ip)); got != want {
			t.Errorf("%s is %q, want %q", ip, got, want)
		}
	}
}

// TestCredentialsOnTheWay looks at what a host without encryption gets to see.
func TestCredentialsOnTheWay(t *testing.T) {
	var seen atomic.Value
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen.Store(r.Header.Get("Authorization")) }))
	defer s.Close()
	host := strings.TrimPrefix(s.URL, "http://")
	for clear, want := range map[bool]string{false: "", true: "Basic am9lOnB3"} {
		resp, err := ask(t, &guard{host: host, clear: clear}, answerManifest, s.URL)
		check(t, err)
		resp.Body.Close()
		if got := seen.Load(); got != want {
			t.Errorf("clear %v: got %q, want %q", clear, got, want)
		}
	}
}

func TestCredentialsFor(t *testing.T) {
	joe := credentials{username: "joe", secret: "pw"}
	named := credentials{username: "joe", secret: "pw", server: "mirror.example:5000"}
	secure := docker.RegistryHost{Scheme: "https", Host: "mirror.example:5000"}
	plain := docker.RegistryHost{Scheme: "http", Host: "mirror.example:5000"}
	fellBack := &guard{}
	fellBack.plain.Store(true)
	for name, c := range map[string]struct {
		creds credentials
		asks  string
		host  docker.RegistryHost
		guard *guard
		want  bool
	}{
		"mirror with encryption":              {joe, secure.Host, secure, &guard{}, true},
		"mirror without":                      {joe, plain.Host, plain, &guard{}, false},
		"mirror that gave up encryption":      {joe, secure.Host, secure, fellBack, false},
		"the registry itself without":         {joe, plain.Host, plain, &guard{clear: true}, true},
		"named by the request":                {named, plain.Host, plain, &guard{clear: true}, true},
		"another one is named":                {credentials{username: "joe", server: "other.example"}, secure.Host, secure, &guard{}, false},
		"who the registry redirects to":       {joe, "elsewhere.example", secure, &guard{}, false},
		"another port of the registry's host": {joe, "mirror.example", secure, &guard{}, false},
	} {
		user, _, err := c.creds.forHost(c.asks, c.host, c.guard)
		if got := user != ""; got != c.want || err != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

// TestBoundedAnswers gives endless answers of each kind.
func TestBoundedAnswers(t *testing.T) {
	status := http.StatusOK
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		for {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	}))
	defer s.Close()
	for _, c := range []struct {
		kind   answerKind
		status int
		want   int64
	}{
		{answerToken, 200, budget.RegistryToken}, {answerManifest, 200, budget.RegistryManifest},
		{answerBlob, 404, budget.RegistryError}, {answerToken, 500, budget.RegistryError},
	} {
		status = c.status
		g := &guard{host: strings.TrimPrefix(s.URL, "http://")}
		g.plain.Store(true)
		resp, err := ask(t, g, c.kind, s.URL)
		check(t, err)
		n, err := io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if n != c.want || !errors.Is(err, errTooLong) {
			t.Errorf("kind %d, status %d: %d bytes, want %d: %v", c.kind, c.status, n, c.want, err)
		}
	}
}

// TestUnaskedEncoding compresses an answer, which nobody asked for.
func TestUnaskedEncoding(t *testing.T) {
	encoding := ""
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Accept-Encoding"); got != "identity" {
			t.Errorf("asked for %q", got)
		}
		w.Header().Set("Content-Encoding", encoding)
	}))
	defer s.Close()
	for _, encoding = range []string{"zstd", "gzip, gzip", "br"} {
		if _, err := ask(t, &guard{host: strings.TrimPrefix(s.URL, "http://")}, answerBlob, s.URL); !errors.Is(err, errForbidden) {
			t.Errorf("%s: %v", encoding, err)
		}
	}
}

// TestHostileTokenServer pulls from a registry whose token server is none.
func TestHostileTokenServer(t *testing.T) {
	const secret = "what-only-the-node-may-see"
	n := newNode(t, Options{})
	for name, answer := range map[string]http.HandlerFunc{
		"prints":  func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, secret) },
		"denies":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500); fmt.Fprint(w, secret) },
		"refuses": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401); fmt.Fprint(w, secret) },
		"number":  func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"token":123456789}`) },
		"endless": func(w http.ResponseWriter, _ *http.Request) {
			_, err := fmt.Fprint(w, `{"token":"`)
			for err == nil {
				_, err = w.Write([]byte(strings.Repeat("x", 64<<10)))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			tokens := httptest.NewServer(answer)
			defer tokens.Close()
			reg := newRegistry(t)
			reg.interfere(bearerOnly("letmein", tokens.URL))
			n.mirror("registry.example", reg.URL)
			for _, auth := range []*runtimeapi.AuthConfig{nil, {Username: "joe", Password: "pw"}} {
				_, err := n.pullAuth("registry.example/a:1", auth)
				if err == nil || strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "123456789") || len(err.Error()) > 2000 {
					t.Errorf("%v", err)
				}
				if name != "denies" && errdefs.IsUnavailable(err) {
					t.Errorf("a wrong answer is no absence: %v", err)
				}
			}
		})
	}
	n.clean()
}

// TestPlainTokenServer has a registry with encryption name a token server without.
func TestPlainTokenServer(t *testing.T) {
	var asked atomic.Int32
	tokens := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer tokens.Close()
	plain := newRegistry(t)
	plain.interfere(bearerOnly("letmein", tokens.URL))
	s := httptest.NewTLSServer(plain.Config.Handler)
	t.Cleanup(s.Close)
	n := newNode(t, Options{})
	n.hostsFile("registry.example", fmt.Sprintf("server = %q\nca = \"ca.pem\"\n", s.URL))
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	check(t, os.WriteFile(filepath.Join(n.certs, "registry.example", "ca.pem"), ca, 0o644))
	_, err := n.pullAuth("registry.example/a:1", &runtimeapi.AuthConfig{Username: "joe", Password: "pw"})
	if !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), "without encryption") {
		t.Errorf("%v", err)
	}
	if asked.Load() != 0 {
		t.Error("the token server got the credentials")
	}
}
