package metrics

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/errdefs"
	"k8s.io/klog/v2"
)

// tokenFile is a file with the bearer token of those who may read /metrics. It is read again for
// each request, so that a new token needs no restart.
type tokenFile struct{ path string }

// mostToken bounds the file of a token, in bytes.
const mostToken = 4 << 10

// openToken makes sure that there is a token. A file that does not exist is made, with a random
// token that root alone can read. errdefs.ErrInvalidArgument for a file without a token.
func openToken(path string) (*tokenFile, error) {
	t := &tokenFile{path}
	_, err := t.read()
	if errors.Is(err, fs.ErrNotExist) {
		err = makeToken(path)
	}
	if err != nil {
		return nil, fmt.Errorf("metrics.token_file: %w", err)
	}
	return t, nil
}

// makeToken writes a token to a file beside the right place first, so that no reader sees half of one.
func makeToken(path string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".token-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(rand.Text() + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func (t *tokenFile) read() ([]byte, error) {
	f, err := os.Open(t.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, mostToken))
	if err != nil {
		return nil, err
	}
	token := bytes.TrimSpace(raw)
	if len(token) == 0 {
		return nil, fmt.Errorf("%s has no token in it (remove it, and berthd makes one): %w", t.path, errdefs.ErrInvalidArgument)
	}
	return token, nil
}

// guard lets only requests with the token in ("Authorization: Bearer TOKEN", RFC 6750).
func (t *tokenFile) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		want, err := t.read()
		if err != nil {
			klog.FromContext(r.Context()).Error(err, "Cannot read the token of the metrics; nobody may read them")
			http.Error(w, "the token of the metrics cannot be read, see berthd's log", http.StatusServiceUnavailable)
			return
		}
		scheme, got, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		// Sums have the same length, so that the time tells nothing of the token's.
		a, b := sha256.Sum256(want), sha256.Sum256([]byte(strings.TrimSpace(got)))
		if !strings.EqualFold(scheme, "Bearer") || subtle.ConstantTimeCompare(a[:], b[:]) != 1 {
			w.Header().Set("WWW-Authenticate", `Bearer realm="berthd metrics"`)
			http.Error(w, "the metrics need the token in the file that metrics.token_file of berthd's configuration names", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}
