package imageservice

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
)

// hexID is what an image ID or a prefix of one looks like without "sha256:".
var hexID = regexp.MustCompile(`^[0-9a-f]{3,64}$`)

// parseRef normalises a reference the way Kubernetes does: a missing domain is
// docker.io, a missing tag is latest, and a digest wins over a tag.
func parseRef(ref string) (reference.Named, error) {
	if isFullID(ref) {
		return nil, fmt.Errorf("image reference %q is an image ID, which says nothing about where to find it: %w", ref, errdefs.ErrInvalidArgument)
	}
	named, err := reference.ParseDockerRef(ref)
	if err != nil {
		return nil, fmt.Errorf("image reference %q: %v: %w", ref, err, errdefs.ErrInvalidArgument)
	}
	return named, nil
}

// idPrefix reports whether s can be an image ID or the beginning of one, and
// returns it with its algorithm.
func idPrefix(s string) (string, bool) {
	hex := strings.TrimPrefix(s, "sha256:")
	if !hexID.MatchString(hex) {
		return "", false
	}
	return "sha256:" + hex, true
}

// isFullID reports whether s is "sha256:<64 hex>".
func isFullID(s string) bool {
	p, ok := idPrefix(s)
	return ok && p == s && len(s) == len("sha256:")+64
}

// splitName tells under which CRI field the name of a containerd image record
// belongs: a tag, a digest, or neither (names that other tools make up).
func splitName(name string) (repo, tag, digest string) {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil || named.String() != name {
		return "", "", ""
	}
	if d, ok := named.(reference.Digested); ok {
		digest = d.Digest().String()
	}
	if t, ok := named.(reference.Tagged); ok {
		tag = t.Tag()
	}
	return named.Name(), tag, digest
}

// userOf splits the user of an image configuration, "user[:group]", into what the
// CRI wants to know of it.
func userOf(user string) (uid *int64, username string) {
	user, _, _ = strings.Cut(user, ":")
	if user == "" {
		return nil, ""
	}
	if n, err := strconv.ParseInt(user, 10, 64); err == nil {
		return &n, ""
	}
	return nil, user
}
