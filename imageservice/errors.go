package imageservice

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"unicode"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"
	crierrors "k8s.io/cri-api/pkg/errors"

	"github.com/berth-run/berth/internal/budget"
)

// HostError is the failure of one registry host.
type HostError struct {
	// Host as scheme://host[:port], and what was asked of it.
	Host, What string
	// Reason is the short form of Err for metrics; see [Hooks].HostFailed.
	Reason string
	Err    error
}

// Error implements error.
func (e HostError) Error() string {
	return e.Host + ": " + printable([]byte(e.Err.Error()), budget.HostErrorShown)
}

// RegistryError says that no registry host gave what was asked for. It matches
// the errdefs class of the decisive host only, while its message has the error
// of every host that was tried.
type RegistryError struct {
	// What was wanted: a manifest or a blob.
	What string
	// Hosts in the order in which they were tried.
	Hosts []HostError
}

// Error implements error. The prefix for an unreachable registry is the one that
// the kubelet recognises (k8s.io/cri-api/pkg/errors).
func (e *RegistryError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: no registry host could provide it; tried %d: ", e.What, len(e.Hosts))
	for i, h := range e.Hosts {
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "[%d] %s", i+1, h.Error())
	}
	return b.String()
}

// Unwrap returns the class of the host that decides. The last host is the
// registry itself (mirrors come before it), so what it says counts, unless it
// could not be reached and another one refused the credentials.
func (e *RegistryError) Unwrap() error {
	if len(e.Hosts) == 0 {
		return errdefs.ErrNotFound
	}
	last := e.Hosts[len(e.Hosts)-1]
	if class := classOf(last.Reason); class != errdefs.ErrUnavailable {
		return class
	}
	for _, h := range e.Hosts {
		if class := classOf(h.Reason); errdefs.IsPermissionDenied(class) || errdefs.IsUnauthorized(class) {
			return class
		}
	}
	return errdefs.ErrUnavailable
}

// Reasons for which a host can fail.
const (
	reasonNotFound     = "notfound"
	reasonUnauthorized = "auth"
	reasonDenied       = "denied"
	reasonStalled      = "stalled"
	reasonTimeout      = "timeout"
	reasonCorrupt      = "corrupt"
	reasonThrottled    = "throttled"
	reasonServer       = "server"
	reasonNetwork      = "network"
	// reasonForbidden: the host wanted the node to do what it must not.
	reasonForbidden = "forbidden"
	// reasonMalformed: the host answered, and what it answered makes no sense.
	reasonMalformed = "malformed"
)

func classOf(reason string) error {
	switch reason {
	case reasonNotFound:
		return errdefs.ErrNotFound
	case reasonUnauthorized:
		return errdefs.ErrUnauthenticated
	case reasonDenied:
		return errdefs.ErrPermissionDenied
	case reasonCorrupt:
		return errdefs.ErrDataLoss
	case reasonForbidden, reasonMalformed:
		return errdefs.ErrFailedPrecondition
	}
	return errdefs.ErrUnavailable
}

// hostError classifies what a registry host answered.
func hostError(host, what string, err error) HostError {
	reason, text := classify(err)
	if text != "" {
		err = errors.New(text)
	}
	return HostError{Host: host, What: what, Reason: reason, Err: err}
}

// classify finds the reason of a failed request, and a better text than the
// error's own where the registry gave one.
func classify(err error) (reason, text string) {
	var status remoteerrors.ErrUnexpectedStatus
	var host HostError
	var token tokenError
	switch {
	case errors.As(err, &host):
		return host.Reason, ""
	case errors.Is(err, errStalled):
		return reasonStalled, ""
	case errors.Is(err, errTruncated), errors.Is(err, errCorrupt):
		return reasonCorrupt, ""
	case errors.As(err, &status):
		return reasonOfStatus(status.StatusCode), statusText(status)
	case errors.Is(err, docker.ErrInvalidAuthorization):
		return reasonUnauthorized, ""
	case errdefs.IsNotFound(err):
		return reasonNotFound, ""
	case errors.Is(err, context.DeadlineExceeded):
		return reasonTimeout, ""
	case errors.As(err, &token) && token.status != 0:
		return reasonOfStatus(token.status), ""
	case errors.Is(err, errForbidden):
		return reasonForbidden, ""
	case isWrongAnswer(err):
		return reasonMalformed, ""
	case isNoCredentials(err):
		return reasonUnauthorized, ""
	}
	return reasonNetwork, ""
}

func reasonOfStatus(code int) string {
	switch {
	case code == http.StatusUnauthorized:
		return reasonUnauthorized
	case code == http.StatusForbidden:
		return reasonDenied
	case code == http.StatusNotFound:
		return reasonNotFound
	case code == http.StatusTooManyRequests:
		return reasonThrottled
	}
	return reasonServer
}

// isWrongAnswer reports whether a host answered, but with something that is no image. The kubelet
// shows RegistryUnavailable for a registry that cannot be reached, which this is not.
func isWrongAnswer(err error) bool {
	var token tokenError
	for _, text := range []string{"in header not a valid digest", "stopped after 10 redirects"} { // which have no type
		if strings.Contains(err.Error(), text) {
			return true
		}
	}
	return errdefs.IsFailedPrecondition(err) || errdefs.IsNotImplemented(err) || errors.Is(err, errTooLong) ||
		errors.As(err, &token) && token.err == nil
}

// isNoCredentials reports whether a registry wants a name and password and there is none.
func isNoCredentials(err error) bool {
	return strings.Contains(err.Error(), "basic auth because missing username")
}

// statusText adds the registry's own message, shortened, which often holds the
// cause (rate limits, policies).
func statusText(s remoteerrors.ErrUnexpectedStatus) string {
	text := fmt.Sprintf("%s %s: %s", s.RequestMethod, redact(s.RequestURL), strings.TrimSpace(fmt.Sprintf("%d %s", s.StatusCode, http.StatusText(s.StatusCode))))
	body := printable(s.Body, budget.RegistryErrorShown)
	if body != "" {
		text += ": " + body
	}
	return text
}

// printable is foreign text as one line without control characters, cut off after a number of bytes.
func printable(text []byte, limit int) string {
	long := len(text) > 4*limit
	text = text[:min(len(text), 4*limit)]
	clean := strings.Map(func(r rune) rune {
		if !unicode.IsGraphic(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(string(text), "?"))
	clean = strings.Join(strings.Fields(clean), " ")
	if len(clean) > limit {
		clean, long = strings.ToValidUTF8(clean[:limit], ""), true
	}
	if long {
		clean += "…"
	}
	return clean
}

// redact drops the query of a URL, which may hold tokens.
func redact(u string) string {
	u, _, _ = strings.Cut(u, "?")
	return u
}

// pullError makes the error of a failed pull: what was pulled, in which stage it
// failed, and why. An unreachable registry gets the prefix the kubelet looks for.
func pullError(ref, stage string, err error) error {
	prefix := ""
	var registry *RegistryError
	if errdefs.IsUnavailable(err) && errors.As(err, &registry) {
		prefix = crierrors.ErrRegistryUnavailable.Error() + ": "
	}
	return fmt.Errorf("%spulling image %q (%s): %w", prefix, ref, stage, err)
}

// malformed is an error for content that is not an image.
func malformed(format string, args ...any) error {
	return fmt.Errorf("malformed image: "+format+": %w", append(args, errdefs.ErrFailedPrecondition)...)
}

// contentErrors are what a layer's entries can lead to on a node where nothing is wrong: a hard link to
// nowhere, a file below a file, the same whiteout twice.
var contentErrors = []syscall.Errno{
	syscall.ENOENT, syscall.EEXIST, syscall.ENOTDIR, syscall.EISDIR, syscall.ENOTEMPTY, syscall.ELOOP,
	syscall.ENAMETOOLONG, syscall.EINVAL, syscall.EMLINK, syscall.EXDEV,
}

// localError returns err when it is this node's fault rather than the image's: a
// full disk, for example.
func localError(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) && !slices.Contains(contentErrors, errno) {
		return errno
	}
	return nil
}
