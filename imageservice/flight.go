package imageservice

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/klog/v2"
)

// errNobodyWaits is the cause of a pull that was cancelled by its last caller.
var errNobodyWaits = errors.New("nobody waits for the pull any more")

// pull is one pull in flight and those who wait for it.
type pull struct {
	s           *Service
	key         string
	named       reference.Named
	ref         string
	creds       credentials
	snapshotter string
	log         klog.Logger
	progress    progress
	reg         *registry

	cancel context.CancelCauseFunc
	after  <-chan struct{} // the cancelled pull with the same key, to be waited for
	done   chan struct{}
	id     string
	err    error

	// Guarded by pulls.mu.
	waiters int
	left    bool // the last waiter has left, the pull is being undone
}

// domain is the registry that the reference names.
func (p *pull) domain() string { return reference.Domain(p.named) }

// locks are the keys by which pulls wait for each other: for those of the same registry only. What
// two registries have is downloaded and unpacked twice if it must be, and the first one to be done
// wins, so that a registry that stalls is waited for by its own pulls alone.
func (p *pull) locks() lockScope { return lockScope{p.s.locks, p.domain()} }

// pulls are the pulls in flight by what they are for.
type pulls struct {
	mu     sync.Mutex
	byKey  map[string]*pull
	closed bool
}

// Pull makes the image of spec available, unpacked, and returns its ID, which is
// PullImageResponse.image_ref. Callers with the same reference, credentials and
// snapshotter share one pull; it is cancelled when the last of them has left.
//
// Errors: ErrInvalidArgument (reference, credentials or runtime handler make no
// sense), ErrNotFound (no registry host knows it, or it has nothing for this
// platform), ErrUnauthenticated and ErrPermissionDenied, ErrUnavailable (message
// starts with RegistryUnavailable), context.DeadlineExceeded, ErrDataLoss (content
// that does not match its digest), ErrFailedPrecondition (content that is no image).
func (s *Service) Pull(ctx context.Context, spec *runtimeapi.ImageSpec, auth *runtimeapi.AuthConfig, sandbox *runtimeapi.PodSandboxConfig) (string, error) {
	p, err := s.newPull(ctx, spec, auth, sandbox)
	if err != nil {
		return "", err
	}
	if p, err = s.join(p); err != nil {
		return "", err
	}
	select {
	case <-p.done:
		return p.id, p.err
	case <-ctx.Done():
		s.leave(p)
		at := p.progress.snapshot()
		return "", fmt.Errorf("pulling image %q: the caller left after %s, in stage %s with %d of %d bytes here: %w",
			p.ref, time.Since(at.Started).Round(time.Millisecond), at.Stage, at.BytesDone, at.BytesTotal, ctx.Err())
	}
}

// newPull checks a request, without side effects.
func (s *Service) newPull(ctx context.Context, spec *runtimeapi.ImageSpec, auth *runtimeapi.AuthConfig, sandbox *runtimeapi.PodSandboxConfig) (*pull, error) {
	if spec.GetImage() == "" {
		return nil, fmt.Errorf("the pull request names no image: %w", errdefs.ErrInvalidArgument)
	}
	named, err := parseRef(spec.GetImage())
	if err != nil {
		return nil, err
	}
	creds, err := parseAuth(auth)
	if err != nil {
		return nil, fmt.Errorf("pulling image %q: %w", named.String(), err)
	}
	sn, err := s.SnapshotterFor(spec.GetRuntimeHandler())
	if err != nil {
		return nil, fmt.Errorf("pulling image %q: %w", named.String(), err)
	}
	p := &pull{
		s: s, named: named, ref: named.String(), creds: creds, snapshotter: sn,
		key:  named.String() + "\x00" + sn + "\x00" + creds.fingerprint(),
		done: make(chan struct{}),
	}
	p.log = klog.FromContext(ctx).WithValues("image", p.ref)
	if pod := sandbox.GetMetadata(); pod != nil {
		p.log = p.log.WithValues("pod", klog.KRef(pod.Namespace, pod.Name))
	}
	p.progress.began = time.Now()
	p.progress.p = Progress{Ref: p.ref, Stage: "queued", Started: p.progress.began}
	return p, nil
}

// join returns the pull in flight that does what p would, or starts p.
func (s *Service) join(p *pull) (*pull, error) {
	s.pulls.mu.Lock()
	defer s.pulls.mu.Unlock()
	if s.pulls.closed {
		return nil, fmt.Errorf("pulling image %q: the image service is shutting down: %w", p.ref, errdefs.ErrUnavailable)
	}
	running := s.pulls.byKey[p.key]
	if running != nil && !running.left {
		running.waiters++
		if f := s.opts.Hooks.PullJoined; f != nil {
			f(p.ref)
		}
		return running, nil
	}
	if running != nil {
		p.after = running.done
	}
	p.waiters = 1
	s.pulls.byKey[p.key] = p
	ctx, cancel := context.WithCancelCause(s.ctx)
	p.cancel = cancel
	s.wg.Add(1)
	go p.run(ctx)
	return p, nil
}

// leave takes one caller off a pull, and cancels it after the last one.
func (s *Service) leave(p *pull) {
	s.pulls.mu.Lock()
	defer s.pulls.mu.Unlock()
	if p.waiters--; p.waiters == 0 {
		p.left = true
		p.cancel(errNobodyWaits)
	}
}

// close keeps new pulls from starting.
func (f *pulls) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
}

// run does the work of a pull and tells those who wait.
func (p *pull) run(ctx context.Context) {
	s := p.s
	defer s.wg.Done()
	defer p.cancel(nil)
	defer func() {
		if r := recover(); r != nil {
			p.id, p.err = "", fmt.Errorf("pulling image %q: panic: %v: %w", p.ref, r, errdefs.ErrInternal)
		}
		s.pulls.mu.Lock()
		if s.pulls.byKey[p.key] == p {
			delete(s.pulls.byKey, p.key)
		}
		s.pulls.mu.Unlock()
		close(p.done)
		if f := s.opts.Hooks.PullFinished; f != nil {
			f(p.progress.result(p.id, p.err))
		}
	}()
	if f := s.opts.Hooks.PullStarted; f != nil {
		f(p.ref)
	}
	timeout := fmt.Errorf("not done within %s: %w", s.opts.PullTimeout, context.DeadlineExceeded)
	ctx, cancel := context.WithTimeoutCause(ctx, s.opts.PullTimeout, timeout)
	defer cancel()
	p.id, p.err = p.work(ctx)
	if p.err != nil {
		p.err = pullError(p.ref, p.progress.snapshot().Stage, p.err)
		if errors.Is(p.err, errNobodyWaits) {
			p.log.V(2).Info("Image pull cancelled", "err", p.err)
			return
		}
		p.log.Error(p.err, "Image pull failed")
	}
}

// Pulls returns the pulls in flight, oldest first.
func (s *Service) Pulls() []Progress {
	s.pulls.mu.Lock()
	out := make([]Progress, 0, len(s.pulls.byKey))
	for _, p := range s.pulls.byKey {
		at := p.progress.snapshot()
		at.Waiters = p.waiters
		out = append(out, at)
	}
	s.pulls.mu.Unlock()
	sort.Slice(out, func(i, j int) bool { return out[i].Started.Before(out[j].Started) })
	return out
}
