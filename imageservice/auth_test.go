package imageservice

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"encoding/pem"
	"github.com/containerd/errdefs"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// basicOnly lets requests with these credentials through.
func basicOnly(user, pass string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if u, p, ok := r.BasicAuth(); !ok || u != user || p != pass {
				w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
				http.Error(w, `{"errors":[{"code":"UNAUTHORIZED"}]}`, http.StatusUnauthorized)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// bearerOnly lets requests with this token through and names the token server.
func bearerOnly(token, realm string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "Bearer "+token {
				w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm=%q,service="test"`, realm))
				http.Error(w, `{"errors":[{"code":"UNAUTHORIZED"}]}`, http.StatusUnauthorized)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// tokenServer gives out a token for user:pass or the refresh token.
func tokenServer(t *testing.T, user, pass, refresh, token string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		u, p, _ := r.BasicAuth()
		ok := (r.Form.Get("username") == user && r.Form.Get("password") == pass) || (u == user && p == pass) ||
			(r.Form.Get("grant_type") == "refresh_token" && r.Form.Get("refresh_token") == refresh)
		if !ok {
			http.Error(w, "who are you", http.StatusUnauthorized)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": token, "token": token, "expires_in": 300})
	}))
	t.Cleanup(s.Close)
	return s.URL + "/token"
}

func TestBasicAuth(t *testing.T) {
	reg := newRegistry(t)
	reg.push(t, "a:1", imageOf(t, 20, 1, 1000))
	reg.interfere(basicOnly("joe", "pass:word"))
	n := newNode(t, Options{})
	n.mirror("registry.example", reg.URL)
	encoded := base64.StdEncoding.EncodeToString([]byte("joe:pass:word"))
	for name, c := range map[string]struct {
		auth *runtimeapi.AuthConfig
		ok   bool
	}{
		"none":           {nil, false},
		"wrong":          {&runtimeapi.AuthConfig{Username: "joe", Password: "x"}, false},
		"user":           {&runtimeapi.AuthConfig{Username: "joe", Password: "pass:word"}, true},
		"auth":           {&runtimeapi.AuthConfig{Auth: encoded}, true},
		"this server":    {&runtimeapi.AuthConfig{Auth: encoded, ServerAddress: reg.URL + "/v2/"}, true},
		"another server": {&runtimeapi.AuthConfig{Auth: encoded, ServerAddress: "elsewhere.example"}, false},
	} {
		img, err := n.pullAuth("registry.example/a:1", c.auth)
		if c.ok {
			check(t, err)
			check(t, n.svc.Remove(t.Context(), img))
			continue
		}
		if !errdefs.IsUnauthorized(err) || !strings.Contains(err.Error(), reg.URL) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), "pass:word") {
			t.Errorf("%s: the password is in the error: %v", name, err)
		}
	}
	n.clean()
}

func TestTokenAuth(t *testing.T) {
	reg := newRegistry(t)
	reg.push(t, "a:1", imageOf(t, 21, 1, 1000))
	reg.interfere(bearerOnly("letmein", tokenServer(t, "joe", "pw", "refreshing", "letmein")))
	n := newNode(t, Options{})
	n.mirror("registry.example", reg.URL)
	for name, c := range map[string]struct {
		auth *runtimeapi.AuthConfig
		ok   bool
	}{
		"anonymous":            {nil, false},
		"password":             {&runtimeapi.AuthConfig{Username: "joe", Password: "pw"}, true},
		"wrong password":       {&runtimeapi.AuthConfig{Username: "joe", Password: "x"}, false},
		"identity token":       {&runtimeapi.AuthConfig{IdentityToken: "refreshing"}, true},
		"registry token":       {&runtimeapi.AuthConfig{RegistryToken: "letmein"}, true},
		"wrong registry token": {&runtimeapi.AuthConfig{RegistryToken: "nope"}, false},
	} {
		img, err := n.pullAuth("registry.example/a:1", c.auth)
		if c.ok {
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			check(t, n.svc.Remove(t.Context(), img))
		} else if !errdefs.IsUnauthorized(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	n.clean()
}

// A second caller with other credentials does not get the image on the first
// one's account.
func TestCredentialsAreNotShared(t *testing.T) {
	reg := newRegistry(t)
	reg.push(t, "a:1", imageOf(t, 22, 1, 1000))
	reg.interfere(basicOnly("joe", "pw"))
	n := newNode(t, Options{})
	n.mirror("registry.example", reg.URL)
	if _, err := n.pullAuth("registry.example/a:1", &runtimeapi.AuthConfig{Username: "joe", Password: "pw"}); err != nil {
		t.Fatal(err)
	}
	if _, err := n.pull("registry.example/a:1"); !errdefs.IsUnauthorized(err) {
		t.Errorf("without credentials, the image being here: %v", err)
	}
}

func TestTLSWithCA(t *testing.T) {
	plain := newRegistry(t)
	plain.push(t, "a:1", imageOf(t, 23, 1, 1000))
	s := httptest.NewTLSServer(plain.Config.Handler)
	t.Cleanup(s.Close)
	n := newNode(t, Options{})
	n.mirror("registry.example", s.URL)
	if _, err := n.pull("registry.example/a:1"); !errdefs.IsUnavailable(err) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("without the CA: %v", err)
	}
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	n.hostsFile("registry.example", fmt.Sprintf("server = %q\nca = \"ca.pem\"\n", s.URL))
	check(t, os.WriteFile(filepath.Join(n.certs, "registry.example", "ca.pem"), ca, 0o644))
	n.mustPull("registry.example/a:1")
}
