package imageservice

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
)

// tokenError says that a token server gave no token. What the server answered is not in it: a
// registry can name any server, and whoever reads the error is not always whom the answer is for.
type tokenError struct {
	server string
	status int // 0 when it answered something that is no token
	err    error
}

// Error implements error.
func (e tokenError) Error() string {
	switch {
	case e.status != 0:
		return fmt.Sprintf("token server %s: %d %s", e.server, e.status, http.StatusText(e.status))
	case e.err != nil:
		return fmt.Sprintf("token server %s: %v", e.server, e.err)
	}
	return fmt.Sprintf("token server %s: the answer is no token", e.server)
}

// Unwrap returns why the server was not reached or not asked, if so.
func (e tokenError) Unwrap() error { return e.err }

// asTokenError makes a tokenError of what the library says.
func asTokenError(ctx context.Context, err error) error {
	var status remoteerrors.ErrUnexpectedStatus
	var request *url.Error
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &status):
		return tokenError{server: serverHost(status.RequestURL), status: status.StatusCode}
	case errors.As(err, &request):
		return tokenError{server: serverHost(request.URL), err: request.Err}
	case errors.Is(err, errTooLong):
		return tokenError{server: "of the registry", err: errTooLong}
	case errors.Is(err, docker.ErrInvalidAuthorization), isNoCredentials(err):
		return err
	}
	return tokenError{server: "of the registry"}
}

// guardedAuthorizer asks token servers within a registry host's guard.
type guardedAuthorizer struct{ docker.Authorizer }

// Authorize implements docker.Authorizer.
func (a guardedAuthorizer) Authorize(ctx context.Context, req *http.Request) error {
	ctx = expecting(ctx, answerToken)
	if err := a.Authorizer.Authorize(ctx, req); err != nil {
		return asTokenError(ctx, err)
	}
	return nil
}
