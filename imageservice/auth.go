package imageservice

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/errdefs"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// credentials are what an AuthConfig comes down to.
type credentials struct {
	// username and secret as the registry's authorizer takes them; an identity
	// token is a secret without a username.
	username, secret string
	// bearer is a registry token, sent as it is.
	bearer string
	// server limits the credentials to one host; empty means the image's registry
	// and its mirrors (see appliesTo).
	server string
}

// parseAuth checks an AuthConfig of the CRI. A nil one, or one with nothing in
// it, is an anonymous pull.
func parseAuth(auth *runtimeapi.AuthConfig) (credentials, error) {
	var c credentials
	if auth == nil {
		return c, nil
	}
	c.server = serverHost(auth.ServerAddress)
	switch {
	case auth.RegistryToken != "":
		c.bearer = auth.RegistryToken
	case auth.IdentityToken != "":
		c.secret = auth.IdentityToken
	case auth.Username != "" || auth.Password != "":
		c.username, c.secret = auth.Username, auth.Password
	case auth.Auth != "":
		user, pass, err := decodeBasic(auth.Auth)
		if err != nil {
			return credentials{}, err
		}
		c.username, c.secret = user, pass
	}
	if strings.ContainsAny(c.bearer, "\r\n") {
		return credentials{}, fmt.Errorf("registry_token holds a line break: %w", errdefs.ErrInvalidArgument)
	}
	return c, nil
}

// decodeBasic decodes the "auth" field of a Docker configuration. The value is a
// secret and stays out of the error.
func decodeBasic(auth string) (user, pass string, err error) {
	raw, err := base64.StdEncoding.DecodeString(auth)
	if err != nil {
		if raw, err = base64.RawStdEncoding.DecodeString(auth); err != nil {
			return "", "", fmt.Errorf("auth of the pull request is not base64: %w", errdefs.ErrInvalidArgument)
		}
	}
	user, pass, ok := strings.Cut(string(raw), ":")
	if !ok {
		return "", "", fmt.Errorf("auth of the pull request decodes to something without a colon, want base64 of user:password: %w", errdefs.ErrInvalidArgument)
	}
	return user, strings.TrimRight(pass, "\x00"), nil
}

// serverHost reduces a server_address, which may be a URL with a path, to a host
// with an optional port.
func serverHost(address string) string {
	if address == "" {
		return ""
	}
	if !strings.Contains(address, "://") {
		address = "https://" + address
	}
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	return hubAlias(u.Host)
}

// hubAlias gives Docker Hub's several host names one spelling.
func hubAlias(host string) string {
	switch host {
	case "docker.io", "index.docker.io", "registry-1.docker.io":
		return "docker.io"
	}
	return host
}

// meantFor reports whether the request names a host as that which the credentials are for.
func (c credentials) meantFor(host string) bool { return c.server != "" && c.server == hubAlias(host) }

// appliesTo reports whether a registry host may see the credentials. Those for a named server
// are for that one only. Others are for the registry of the image and the mirrors that the node's
// administrator configured for it, as with containerd and CRI-O, but not for a mirror without
// encryption: unlike these two, Berth sends nothing that anybody on the way can read to a host which
// the owner of the credentials does not know of.
func (c credentials) appliesTo(h docker.RegistryHost, g *guard) bool {
	if c.server != "" {
		return c.meantFor(h.Host)
	}
	return g.clear || h.Scheme == "https" && !g.plain.Load()
}

// forHost is the callback of the authorizer of a registry host; host is who wants credentials, which is
// another one after a redirect.
func (c credentials) forHost(host string, h docker.RegistryHost, g *guard) (string, string, error) {
	if host != h.Host || !c.appliesTo(h, g) {
		return "", "", nil
	}
	return c.username, c.secret, nil
}

// fingerprint tells credentials apart without holding them.
func (c credentials) fingerprint() string {
	sum := sha256.Sum256([]byte(strings.Join([]string{c.username, c.secret, c.bearer, c.server}, "\x00")))
	return hex.EncodeToString(sum[:])
}

// bearerAuthorizer sends a registry token to one host, and to no other one that
// the host may redirect to.
type bearerAuthorizer struct {
	host, token string
}

var _ docker.Authorizer = bearerAuthorizer{}

// Authorize implements docker.Authorizer.
func (b bearerAuthorizer) Authorize(_ context.Context, req *http.Request) error {
	if req.URL.Host == b.host {
		req.Header.Set("Authorization", "Bearer "+b.token)
	}
	return nil
}

// AddResponses implements docker.Authorizer: a token that was refused is not
// tried again.
func (b bearerAuthorizer) AddResponses(context.Context, []*http.Response) error {
	return fmt.Errorf("%w: the registry refused the registry_token", docker.ErrInvalidAuthorization)
}
