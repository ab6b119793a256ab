package registry

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
)

// tokenPath is the endpoint of AuthToken.
const tokenPath = "/token"

// tokens are those handed out, each with the scopes it was asked for.
type tokens struct {
	mu     sync.Mutex
	scopes map[string][]string
}

func (t *tokens) issue(scopes []string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.scopes == nil {
		t.scopes = map[string][]string{}
	}
	token := rand.Text()
	t.scopes[token] = scopes
	return token
}

// allow reports whether the token's scopes let it pull from the repository.
func (t *tokens) allow(token, repository string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, scope := range t.scopes[token] {
		for one := range strings.FieldsSeq(scope) {
			name := strings.TrimPrefix(one, "repository:")
			if i := strings.LastIndexByte(name, ':'); i > 0 && strings.HasSuffix(repository, name[:i]) {
				return true
			}
		}
	}
	return false
}

// revoke makes all tokens invalid.
func (t *tokens) revoke() {
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.scopes)
}

// RevokeTokens makes every token that was handed out invalid, as if expired.
func (r *Registry) RevokeTokens() { r.tokens.revoke() }

// authenticate lets a request through to next when it carries what Options.Auth
// wants, and else tells the client how to get it.
func (r *Registry) authenticate(next http.Handler) http.Handler {
	if r.opts.Auth == AuthNone {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if r.opts.Auth == AuthToken && req.URL.Path == tokenPath {
			r.serveToken(w, req)
			return
		}
		if r.authenticated(req) {
			next.ServeHTTP(w, req)
			return
		}
		w.Header().Set("WWW-Authenticate", r.challenge(req))
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`)
	})
}

func (r *Registry) authenticated(req *http.Request) bool {
	if r.opts.Auth == AuthBasic {
		return r.knows(req)
	}
	token, ok := strings.CutPrefix(req.Header.Get("Authorization"), "Bearer ")
	return ok && r.tokens.allow(token, repositoryOf(req.URL.Path))
}

func (r *Registry) knows(req *http.Request) bool {
	user, password, ok := req.BasicAuth()
	return ok && user == r.opts.User && password == r.opts.Password
}

func (r *Registry) challenge(req *http.Request) string {
	if r.opts.Auth == AuthBasic {
		return `Basic realm="berth test registry"`
	}
	return fmt.Sprintf(`Bearer realm="%s%s",service="berth-test",scope="repository:%s:pull"`,
		r.URL(), tokenPath, repositoryOf(req.URL.Path))
}

// serveToken answers the two ways there are to get a token: GET with basic
// authentication (the Docker registry's) and POST of a form (OAuth2).
func (r *Registry) serveToken(w http.ResponseWriter, req *http.Request) {
	if err := req.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	known := r.knows(req)
	if req.Method == http.MethodPost {
		known = req.PostForm.Get("username") == r.opts.User && req.PostForm.Get("password") == r.opts.Password
	}
	if !known {
		http.Error(w, `{"details":"incorrect username or password"}`, http.StatusUnauthorized)
		return
	}
	token := r.tokens.issue(req.Form["scope"])
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"token": token, "access_token": token, "expires_in": 300})
}

// repositoryOf is the repository in a path of the registry API:
// /v2/NAME/manifests/REFERENCE, /v2/NAME/blobs/DIGEST and so on.
func repositoryOf(urlPath string) string {
	name := strings.TrimPrefix(urlPath, "/v2/")
	for _, sep := range []string{"/manifests/", "/blobs/", "/tags/", "/referrers/"} {
		if i := strings.LastIndex(name, sep); i >= 0 {
			return name[:i]
		}
	}
	return strings.Trim(name, "/")
}
