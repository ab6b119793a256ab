package streaming

import (
	"net/http"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/cri-streaming/pkg/streaming/portforward"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	"k8s.io/streaming/pkg/httpstream/wsstream"
)

// routes maps the URLs' paths. Clients use GET for WebSocket and POST for SPDY.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	for _, method := range []string{"GET", "POST"} {
		mux.HandleFunc(method+" /exec/{token}", once(s, "exec", s.serveExec))
		mux.HandleFunc(method+" /attach/{token}", once(s, "attach", s.serveAttach))
		mux.HandleFunc(method+" /portforward/{token}", once(s, "portforward", s.servePortForward))
	}
	return mux
}

// once takes the token's request, which must be one for this path, and serves it in a session.
func once[T any](s *Server, kind string, serve func(w http.ResponseWriter, r *http.Request, req T)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		pending, _ := s.tokens.take(r.PathValue("token"))
		req, ok := pending.(T)
		if !ok {
			http.Error(w, "this streaming URL was used before, has expired or never existed; ask for a new one", http.StatusNotFound)
			return
		}
		defer s.cfg.Observe(kind)()
		sw, sr, end := s.session(w, r)
		defer end()
		serve(sw, sr, req)
	}
}

func (s *Server) serveExec(w http.ResponseWriter, r *http.Request, req *runtimeapi.ExecRequest) {
	opts := &remotecommand.Options{Stdin: req.Stdin, Stdout: req.Stdout, Stderr: req.Stderr, TTY: req.Tty}
	run := &commands{backend: s.backend, opts: opts}
	if wsstream.IsWebSocketRequestWithStreamCloseProtocol(r) {
		s.serveV5(w, r, opts, func(c *v5Streams) error {
			return run.ExecInContainer(r.Context(), "", "", req.ContainerId, req.Cmd, c.stdin, c.stdout, c.stderr, req.Tty, c.resize, 0)
		})
		return
	}
	remotecommand.ServeExec(w, r, run, "", "", req.ContainerId, req.Cmd, opts,
		s.cfg.IdleTimeout, s.cfg.CreationTimeout, remotecommand.SupportedStreamingProtocols)
}

func (s *Server) serveAttach(w http.ResponseWriter, r *http.Request, req *runtimeapi.AttachRequest) {
	opts := &remotecommand.Options{Stdin: req.Stdin, Stdout: req.Stdout, Stderr: req.Stderr, TTY: req.Tty}
	run := &commands{backend: s.backend, opts: opts}
	if wsstream.IsWebSocketRequestWithStreamCloseProtocol(r) {
		s.serveV5(w, r, opts, func(c *v5Streams) error {
			return run.AttachContainer(r.Context(), "", "", req.ContainerId, c.stdin, c.stdout, c.stderr, req.Tty, c.resize)
		})
		return
	}
	remotecommand.ServeAttach(w, r, run, "", "", req.ContainerId, opts,
		s.cfg.IdleTimeout, s.cfg.CreationTimeout, remotecommand.SupportedStreamingProtocols)
}

func (s *Server) servePortForward(w http.ResponseWriter, r *http.Request, req *runtimeapi.PortForwardRequest) {
	if wsstream.IsWebSocketRequestWithTunnelingProtocol(r) {
		var ok bool
		if w, r, ok = openTunnel(w, r); !ok {
			return
		}
	}
	opts, err := portforward.BuildV4Options(req.Port)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	forward := &forwarder{ctx: r.Context(), backend: s.backend, dialTimeout: s.cfg.DialTimeout, all: &s.forwarded}
	portforward.ServePortForward(w, r, forward, req.PodSandboxId, "", opts,
		s.cfg.IdleTimeout, s.cfg.CreationTimeout, portforward.SupportedProtocols)
	// The library does not wait for the streams of a connection that ended.
	forward.wait()
}
