package registry

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// blobStore keeps blobs in memory. It serves them itself, since
// go-containerregistry's handler refuses open ranges ("bytes=100-"), with which
// an interrupted download is resumed.
type blobStore struct {
	mu    sync.Mutex
	blobs map[v1.Hash][]byte
}

func newBlobStore() *blobStore { return &blobStore{blobs: map[v1.Hash][]byte{}} }

// Get implements ggcr.BlobHandler.
func (s *blobStore) Get(_ context.Context, _ string, h v1.Hash) (io.ReadCloser, error) {
	b, err := s.bytes(h)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

// Stat implements ggcr.BlobStatHandler.
func (s *blobStore) Stat(_ context.Context, _ string, h v1.Hash) (int64, error) {
	b, err := s.bytes(h)
	return int64(len(b)), err
}

// Put implements ggcr.BlobPutHandler.
func (s *blobStore) Put(_ context.Context, _ string, h v1.Hash, rc io.ReadCloser) error {
	defer rc.Close()
	b, err := io.ReadAll(rc)
	if err != nil {
		return err
	}
	s.set(h, b)
	return nil
}

func (s *blobStore) bytes(h v1.Hash) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.blobs[h]
	if !ok {
		return nil, ggcr.ErrNotFound
	}
	return b, nil
}

func (s *blobStore) set(h v1.Hash, b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blobs[h] = b
}

// serve answers GETs of blobs and leaves everything else to next.
func (s *blobStore) serve(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		dir, digest := path.Split(req.URL.Path)
		h, err := v1.NewHash(digest)
		if req.Method != http.MethodGet || !strings.HasSuffix(dir, "/blobs/") || err != nil {
			next.ServeHTTP(w, req)
			return
		}
		b, err := s.bytes(h)
		if err != nil {
			next.ServeHTTP(w, req) // for its error body
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Docker-Content-Digest", digest)
		http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(b))
	})
}
