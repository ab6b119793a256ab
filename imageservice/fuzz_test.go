package imageservice

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	dockerconfig "github.com/containerd/containerd/v2/core/remotes/docker/config"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/platforms"
	"github.com/sirupsen/logrus"

	"github.com/berth-run/berth/internal/budget"
)

// FuzzIndex selects from foreign indexes: what is chosen can be asked for, and errors are short.
func FuzzIndex(f *testing.F) {
	const digest = `"sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"`
	const entry = `{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":7,"digest":` + digest
	for _, seed := range []string{
		`{"manifests":[` + entry + `,"platform":{"os":"linux","architecture":"amd64"}}]}`,
		`{"manifests":[` + entry + `},` + entry + `,"platform":{"os":"unknown","architecture":"unknown"}}]}`,
		`{"manifests":[` + entry + `,"artifactType":"x/y"},` + entry + `,"platform":{"os":"linux","architecture":"arm64","variant":"v8","os.features":["x"]}}]}`,
		`{"manifests":[{"mediaType":"application/vnd.oci.image.index.v1+json","size":-1,"digest":"blake3:00"}]}`, `{}`, `[]`, `{"manifests":7}`,
	} {
		f.Add([]byte(seed))
	}
	want := platforms.Only(platforms.MustParse("linux/amd64"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		idx, err := parseIndex(raw)
		if err != nil {
			return
		}
		fit, err := selectManifests(idx, want, "linux/amd64")
		if err != nil {
			shortText(t, err.Error())
			return
		}
		for _, d := range fit {
			if err := checkDescriptor(d, budget.RegistryManifest); err != nil {
				t.Errorf("chose %v: %v", d, err)
			}
		}
	})
}

// FuzzDocuments decodes foreign manifests and configurations: what is kept has a bound.
func FuzzDocuments(f *testing.F) {
	f.Add([]byte(`{"config":{"mediaType":"application/vnd.oci.image.config.v1+json","size":2,"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"},"layers":[]}`))
	f.Add([]byte(`{"os":"linux","architecture":"amd64","config":{"Env":["A=b"],"Cmd":["x"],"Volumes":{"/v":{}},"User":"1:2"},"rootfs":{"type":"layers","diff_ids":[]}}`))
	f.Add([]byte(`{"rootfs":{"diff_ids":["none"]},"history":[{}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if m, err := parseManifest(raw); err == nil {
			for _, l := range m.Layers {
				if l.Size <= 0 || l.Size > budget.ImageLayer {
					t.Errorf("layer of %d bytes", l.Size)
				}
			}
		}
		c, err := parseConfig(raw, 0)
		if err != nil {
			return
		}
		if n := len(c.Config.Env) + len(c.Config.Cmd) + len(c.Config.Entrypoint) + len(c.Config.Volumes); n*budget.ImageKeptEntry > budget.ImageKept {
			t.Errorf("%d strings are kept", n)
		}
		if c.History != nil || c.Config.Labels != nil {
			t.Error("what nobody needs is kept")
		}
		_ = chainID(c)
		_, _ = userOf(c.Config.User)
	})
}

// FuzzHostsFile reads hosts.toml files: what passes the check is what the library then uses.
func FuzzHostsFile(f *testing.F) {
	for _, seed := range []string{
		"server = \"https://registry.example\"\n[host.\"https://mirror.example\"]\n  capabilities = [\"pull\"]\n",
		"server = \"http://registry.example:5000/v2\"\noverride_path = true\nskip_verify = true\n",
		"[host.\"mirror:5000\"]\ncapabilities = [\"resolve\"]\ndial_timeout = \"3s\"\n[host.\"mirror:5000\".header]\nx = [\"y\"]\n",
		"server = 7\n", "ca = [1]\n", "client = [[\"a\",\"b\"]]\n", "[host]\n", "x = ",
	} {
		f.Add([]byte(seed))
	}
	logrus.SetOutput(io.Discard)
	f.Fuzz(func(t *testing.T, text []byte) {
		parsed, err := parseHostsFile(text)
		if err != nil {
			_ = where(err)
			return
		}
		_ = parsed.plain()
		root := t.TempDir()
		dir := filepath.Join(root, "registry.example")
		check(t, os.Mkdir(dir, 0o700))
		check(t, os.WriteFile(filepath.Join(dir, "hosts.toml"), text, 0o600))
		hosts, err := dockerconfig.ConfigureHosts(t.Context(), dockerconfig.HostOptions{HostDir: dockerconfig.HostDirFromRoot(root)})("registry.example")
		if err != nil || parsed.Server == "" || !strings.Contains(parsed.Server, "://") {
			return
		}
		u, err := url.Parse(parsed.Server)
		if err == nil && (len(hosts) == 0 || hosts[len(hosts)-1].Host != u.Host) {
			t.Errorf("the server is %q, the library uses %v", parsed.Server, hosts)
		}
	})
}

// FuzzChallenge answers a registry's request with foreign challenges, and sees where the node goes.
func FuzzChallenge(f *testing.F) {
	for _, seed := range []string{
		`Bearer realm="https://auth.example/token",service="x",scope="repository:a:pull"`, `Bearer realm="http://127.0.0.1/token"`,
		`Bearer realm="https://169.254.169.254/"`, `Basic realm="x"`, `Bearer realm="https://[::ffff:127.0.0.1]:1/"`, `Digest x`, `Bearer`,
		`Bearer realm="//registry.example/token",error="insufficient_scope"`, `Bearer realm="https://joe:pw@0/"`,
	} {
		f.Add(seed)
	}
	logrus.SetOutput(io.Discard)
	f.Fuzz(func(t *testing.T, challenge string) {
		g := &guard{host: "registry.example"}
		h := docker.RegistryHost{Scheme: "https", Host: g.host}
		transport := newGuardedTransport(&http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, io.EOF }, TLSClientConfig: &tls.Config{}})
		transport.far = func(_ context.Context, _, addr string, allow func(string) error) (net.Conn, error) {
			if err := allow(addr); err != nil {
				return nil, err
			}
			if kind := nodeOnly(addrOf(addr)); kind != "" {
				t.Errorf("connects to %s, which is a %s address", addr, kind)
			}
			return nil, io.EOF
		}
		transport.next.RegisterProtocol("http", unreachable{t})
		h.Client = &http.Client{Transport: transport}
		creds := credentials{username: "joe", secret: "pw"}
		auth := guardedAuthorizer{docker.NewDockerAuthorizer(docker.WithAuthClient(h.Client), docker.WithAuthCreds(func(host string) (string, string, error) { return creds.forHost(host, h, g) }))}
		e := &endpoint{host: h, guard: g}
		ctx := e.guarded(t.Context())
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://registry.example/v2/a/manifests/1", nil)
		check(t, err)
		resp := &http.Response{StatusCode: http.StatusUnauthorized, Header: http.Header{"Www-Authenticate": {challenge}}, Request: req}
		if err := auth.AddResponses(ctx, []*http.Response{resp}); err != nil {
			return
		}
		if err := auth.Authorize(ctx, req); err != nil {
			shortText(t, hostError("https://registry.example", "x", err).Error())
		}
	})
}

// unreachable is what no request of a registry with encryption gets to.
type unreachable struct{ t *testing.T }

// RoundTrip implements http.RoundTripper.
func (u unreachable) RoundTrip(req *http.Request) (*http.Response, error) {
	u.t.Errorf("asks %s without encryption", req.URL)
	return nil, io.EOF
}

// FuzzRegistryAnswer makes errors of what registries answer.
func FuzzRegistryAnswer(f *testing.F) {
	f.Add(401, []byte(`{"errors":[{"code":"UNAUTHORIZED"}]}`), "https://registry.example/v2/?token=secret-in-query")
	f.Add(500, []byte("\x1b[2J\x00\xff\xfe\u202e"), "http://[::1")
	f.Add(0, []byte(strings.Repeat("x", 5000)), "")
	f.Fuzz(func(t *testing.T, code int, body []byte, at string) {
		status := remoteerrors.ErrUnexpectedStatus{StatusCode: code, Body: body, RequestURL: at, RequestMethod: http.MethodGet, Status: string(body)}
		for _, err := range []error{status, errors.New(string(body)), asTokenError(t.Context(), status)} {
			failed := &RegistryError{What: "x", Hosts: []HostError{hostError("https://registry.example", "x", err)}}
			shortText(t, failed.Error())
			_ = failed.Unwrap()
		}
		path, query, _ := strings.Cut(at, "?")
		status.RequestURL = path
		if statusText(status) != statusText(remoteerrors.ErrUnexpectedStatus{StatusCode: code, Body: body, RequestURL: path + "?" + query, RequestMethod: http.MethodGet}) {
			t.Errorf("the query %q is shown", query)
		}
	})
}

// shortText fails unless a text can be shown to anybody.
func shortText(t *testing.T, text string) {
	t.Helper()
	if len(text) > 4*budget.HostErrorShown || !utf8.ValidString(text) || strings.ContainsAny(text, "\x00\x1b\n\r") {
		t.Errorf("%d bytes: %.200q", len(text), text)
	}
}
