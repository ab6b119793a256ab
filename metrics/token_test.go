package metrics

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

// status is what a server with a token says to an Authorization header.
func statusFor(h http.Handler, path, authorization string) int {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code
}

// TestToken: who has the token reads the metrics, a changed token holds at once, and health is
// for everybody.
func TestToken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	srv, err := NewServer(New(Build{}), ServerOptions{Address: "127.0.0.1:0", TokenFile: path})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Shutdown(t.Context())
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the token was made as %v, %v", info, err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	token := strings.TrimSpace(string(raw))
	if len(token) < 20 {
		t.Errorf("the token is %q", token)
	}
	check := func(path, authorization string, want int) {
		t.Helper()
		if got := statusFor(srv.http.Handler, path, authorization); got != want {
			t.Errorf("%s with %q: %d, want %d", path, authorization, got, want)
		}
	}
	check("/metrics", "Bearer "+token, 200)
	check("/metrics", "bearer "+token, 200)
	check("/metrics", "", 401)
	check("/metrics", "Bearer", 401)
	check("/metrics", "Bearer "+token+"x", 401)
	check("/metrics", "Basic "+token, 401)
	check("/healthz", "", 200)
	check("/readyz", "", 200)
	if err := os.WriteFile(path, []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	check("/metrics", "Bearer "+token, 401)
	check("/metrics", "Bearer other", 200)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	check("/metrics", "Bearer ", 503)
	check("/metrics", "", 503)
}

// TestTokenFileMustHold: a file without a token does not leave the metrics open.
func TestTokenFileMustHold(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(empty, []byte(" \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{empty, t.TempDir(), filepath.Join(empty, "below")} {
		if _, err := openToken(path); err == nil || path == empty && !errors.Is(err, errdefs.ErrInvalidArgument) {
			t.Errorf("%s: %v", path, err)
		}
	}
}
