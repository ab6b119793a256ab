package imageservice

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"

	"github.com/berth-run/berth/internal/budget"
)

var (
	// errForbidden is a request that a registry wanted the node to make and the node does not make.
	errForbidden = errors.New("refused")
	// errTooLong is an answer that is longer than answers of its kind may be.
	errTooLong = errors.New("the answer is too long")
)

// guard is what one registry host may make this node do. A host can send the node anywhere: with
// redirects, and with the address of its token server (the realm). It must not get at what only the
// node can reach, not get credentials sent in the clear, and not fill the node's memory.
type guard struct {
	host string // host[:port] of the registry host
	// clear: credentials may go to the host without encryption.
	clear bool
	// plain is set once the host was spoken to without encryption.
	plain atomic.Bool
}

// What a request is for, as far as its answer's length is concerned.
type answerKind int

const (
	answerManifest answerKind = iota // or anything else small
	answerBlob                       // bounded by its descriptor
	answerToken
)

type (
	guardKey  struct{}
	answerKey struct{}
)

// guarded marks a context whose requests are made for a registry host.
func (e *endpoint) guarded(ctx context.Context) context.Context {
	return context.WithValue(ctx, guardKey{}, e.guard)
}

// expecting marks a context by what its answers are.
func expecting(ctx context.Context, kind answerKind) context.Context {
	return context.WithValue(ctx, answerKey{}, kind)
}

// guardedTransport makes the requests of registry hosts, as far as their guards allow.
type guardedTransport struct {
	next *http.Transport
	// proxies and seen: addresses (host:port) of proxies, and the IP addresses behind the
	// addresses that were connected to.
	proxies, seen sync.Map
	// far connects to what is neither the registry host nor a proxy.
	far func(ctx context.Context, network, addr string, allow func(address string) error) (net.Conn, error)
}

// dialFar connects to an address if allow has nothing against the IP address behind it.
func dialFar(ctx context.Context, network, addr string, allow func(address string) error) (net.Conn, error) {
	d := net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		return allow(address)
	}}
	return d.DialContext(ctx, network, addr)
}

// newGuardedTransport takes over a transport, which is not to be used otherwise any more.
func newGuardedTransport(next *http.Transport) *guardedTransport {
	t := &guardedTransport{next: next, far: dialFar}
	next.MaxResponseHeaderBytes = budget.RegistryHeaders
	dial, proxy := next.DialContext, next.Proxy
	next.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		g, _ := ctx.Value(guardKey{}).(*guard)
		if _, isProxy := t.proxies.Load(addr); isProxy || g == nil {
			return dial(ctx, network, addr)
		}
		if addr == withPort(g.host, "443") || addr == withPort(g.host, "80") {
			conn, err := dial(ctx, network, addr)
			if err == nil {
				t.seen.Store(g.host, addrOf(conn.RemoteAddr().String()))
			}
			return conn, err
		}
		return t.far(ctx, network, addr, func(address string) error { return t.mayReach(g, addrOf(address)) })
	}
	if proxy != nil {
		next.Proxy = func(req *http.Request) (u *url.URL, err error) {
			if u, err = proxy(req); u != nil {
				port := map[string]string{"https": "443", "socks5": "1080", "socks5h": "1080"}[u.Scheme]
				t.proxies.Store(withPort(u.Host, port), true)
			}
			return u, err
		}
	}
	return t
}

// RoundTrip implements http.RoundTripper.
func (t *guardedTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	g, _ := req.Context().Value(guardKey{}).(*guard)
	if g == nil {
		return nil, fmt.Errorf("a request that belongs to no registry host: %w", errForbidden)
	}
	kind, _ := req.Context().Value(answerKey{}).(answerKind)
	req = req.Clone(req.Context())
	if err := t.allow(g, req, kind); err != nil {
		return nil, err
	}
	// Compressed bodies would have a length that nobody bounds, and zstd's a window of up to gigabytes.
	req.Header.Set("Accept-Encoding", "identity")
	resp, err := t.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	switch enc := strings.ToLower(strings.TrimSpace(strings.Join(resp.Header.Values("Content-Encoding"), ","))); enc {
	case "", "identity", "gzip", "deflate":
	default:
		resp.Body.Close()
		return nil, fmt.Errorf("the answer has a content encoding that was not asked for (%.40q): %w", enc, errForbidden)
	}
	resp.Body = boundBody(resp, kind)
	return resp, nil
}

// CloseIdleConnections makes that method of http.Client work.
func (t *guardedTransport) CloseIdleConnections() { t.next.CloseIdleConnections() }

// allow decides about one request, and takes credentials off it that must not be seen.
func (t *guardedTransport) allow(g *guard, req *http.Request, kind answerKind) error {
	own, encrypted := req.URL.Host == g.host, req.URL.Scheme == "https"
	if own && !encrypted && kind != answerToken {
		g.plain.Store(true)
	}
	if kind == answerToken && !encrypted && !g.plain.Load() {
		return fmt.Errorf("the token server %s is to be asked without encryption, by a registry with encryption: %w", req.URL.Host, errForbidden)
	}
	if !encrypted && !g.clear {
		req.Header.Del("Authorization")
	}
	if own {
		return nil
	}
	if ip, err := netip.ParseAddr(req.URL.Hostname()); err == nil {
		return t.mayReach(g, ip)
	}
	return nil
}

// mayReach refuses addresses that mean something else for the node than for the rest of the world, unless
// the registry host itself has such an address.
func (t *guardedTransport) mayReach(g *guard, ip netip.Addr) error {
	kind := nodeOnly(ip)
	if kind == "" {
		return nil
	}
	if seen, ok := t.seen.Load(g.host); ok && nodeOnly(seen.(netip.Addr)) == kind {
		return nil
	}
	if nodeOnly(addrOf(g.host)) == kind || kind == "loopback" && docker.IsLocalhost(g.host) {
		return nil
	}
	return fmt.Errorf("%s sends this node to a %s address: %w", g.host, kind, errForbidden)
}

// metadataAddresses are those of cloud providers' metadata services that are not link-local.
var metadataAddresses = []netip.Addr{
	netip.MustParseAddr("100.100.100.200"), netip.MustParseAddr("168.63.129.16"), netip.MustParseAddr("fd00:ec2::254"),
	netip.MustParseAddr("fd20:ce::254"),
}

// nodeOnly says what kind of address it is that leads to another place from every node; "" for others.
func nodeOnly(ip netip.Addr) string {
	ip = ip.Unmap().WithZone("")
	switch {
	case !ip.IsValid():
		return ""
	case ip.IsLoopback(), ip.IsUnspecified():
		return "loopback"
	case ip.IsLinkLocalUnicast():
		return "link-local"
	case ip.IsMulticast(), ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "multicast"
	}
	for _, m := range metadataAddresses {
		if ip == m {
			return "metadata"
		}
	}
	return ""
}

// addrOf is the IP address of host[:port]; the zero Addr for a name.
func addrOf(hostport string) netip.Addr {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	ip, _ := netip.ParseAddr(strings.Trim(host, "[]"))
	return ip
}

// withPort adds a port to a host that names none.
func withPort(hostport, port string) string {
	if _, _, err := net.SplitHostPort(hostport); err == nil {
		return hostport
	}
	return net.JoinHostPort(strings.Trim(hostport, "[]"), port)
}

// boundBody ends a body with errTooLong when it is longer than bodies of its kind may be.
func boundBody(resp *http.Response, kind answerKind) io.ReadCloser {
	limit := int64(budget.RegistryManifest)
	switch {
	case resp.StatusCode >= 300:
		limit = budget.RegistryError
	case kind == answerToken:
		limit = budget.RegistryToken
	case kind == answerBlob:
		return blobBody{resp.Body}
	}
	return &boundedBody{ReadCloser: resp.Body, left: limit, limit: limit}
}

// errBroken is a connection that ended before the body did.
var errBroken = errors.New("the connection broke")

// blobBody hides from containerd's fetcher that a connection broke. It would connect again at once
// and without end, as long as each connection brings a byte; transfer decides about that.
type blobBody struct{ io.ReadCloser }

// Read implements io.Reader.
func (b blobBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.ErrUnexpectedEOF {
		err = errBroken
	}
	return n, err
}

type boundedBody struct {
	io.ReadCloser
	left, limit int64
}

// Read implements io.Reader.
func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		var more [1]byte
		if n, err := b.ReadCloser.Read(more[:]); n == 0 {
			return 0, err
		}
		return 0, fmt.Errorf("more than %d bytes: %w", b.limit, errTooLong)
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}
