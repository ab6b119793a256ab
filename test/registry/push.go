package registry

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Push stores an image under a name such as "registry.k8s.io/pause:3.9".
func (r *Registry) Push(ref string, img v1.Image) error {
	target, err := r.target(ref)
	if err != nil {
		return err
	}
	if err := remote.Write(target, img); err != nil {
		return fmt.Errorf("pushing %s to the test registry: %w", ref, err)
	}
	return nil
}

// PushIndex stores an index and all its images under a name.
func (r *Registry) PushIndex(ref string, index v1.ImageIndex) error {
	target, err := r.target(ref)
	if err != nil {
		return err
	}
	if err := remote.WriteIndex(target, index); err != nil {
		return fmt.Errorf("pushing the index %s to the test registry: %w", ref, err)
	}
	return nil
}

// PutManifest stores any bytes as a manifest, also such as are none.
func (r *Registry) PutManifest(ref string, mediaType types.MediaType, manifest []byte) error {
	target, err := r.target(ref)
	if err != nil {
		return err
	}
	url := fmt.Sprintf("%s/v2/%s/manifests/%s", r.push.URL, target.Context().RepositoryStr(), target.Identifier())
	req, err := http.NewRequest(http.MethodPut, url, bytes.NewReader(manifest))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", string(mediaType))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("putting the manifest of %s: %w", ref, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		body, _ := io.ReadAll(resp.Body)
		return fmt.Errorf("putting the manifest of %s: %s: %s", ref, resp.Status, body)
	}
	return nil
}

// PutBlob makes the registry answer with content when asked for digest, whether or
// not that is the content's digest. Blobs belong to all repositories.
func (r *Registry) PutBlob(digest v1.Hash, content []byte) { r.blobs.set(digest, content) }

// Repository is the repository in this registry in which images of that name are:
// "docker.io/library/busybox" for "busybox:1.36".
func (r *Registry) Repository(ref string) (string, error) {
	target, err := r.target(ref)
	if err != nil {
		return "", err
	}
	return target.Context().RepositoryStr(), nil
}

// target is the address of an image at the push server.
func (r *Registry) target(ref string) (name.Reference, error) {
	parsed, err := name.ParseReference(ref)
	if err != nil {
		return nil, fmt.Errorf("image name %q: %w", ref, err)
	}
	repository := parsed.Context().RepositoryStr()
	if host := parsed.Context().RegistryStr(); host != r.Host() {
		repository = upstream(host) + "/" + repository
	}
	separator := ":"
	if _, ok := parsed.(name.Digest); ok {
		separator = "@"
	}
	server := strings.TrimPrefix(r.push.URL, "http://")
	return name.ParseReference(server+"/"+repository+separator+parsed.Identifier(), name.Insecure)
}

// upstream is the name by which hosts.toml and image references know a registry.
func upstream(host string) string {
	if host == name.DefaultRegistry {
		return "docker.io"
	}
	return host
}
