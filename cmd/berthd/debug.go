package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/pprof"
	"os"

	"github.com/berth-run/berth/internal/failpoint"
	"github.com/berth-run/berth/internal/gate"
	"github.com/berth-run/berth/sandbox"
)

// debugServer answers on a unix socket that only root can open: /debug/pprof/ has
// profiles and goroutine dumps of a daemon that misbehaves, without a restart,
// /cni/ answers `berthd cni`, and /failpoints lets tests break it.
type debugServer struct {
	listener *gate.Gate
	server   *http.Server
}

func newDebugServer(socket string, points *failpoint.Set, pods *sandbox.Manager) (*debugServer, error) {
	l, err := listen(socket)
	if err != nil {
		return nil, fmt.Errorf("debug socket: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	mux.Handle("/cni/", cniHandler(pods))
	mux.Handle("/failpoints", points.Handler())
	mux.Handle("/failpoints/", points.Handler())
	d := &debugServer{gate.New(l, "debug"), &http.Server{Handler: mux}}
	d.listener.Attach(d.server)
	return d, nil
}

// serve answers until ctx ends.
func (d *debugServer) serve(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { _ = d.server.Close() })()
	err := d.server.Serve(d.listener)
	_ = os.Remove(d.listener.Addr().String())
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("debug socket: %w", err)
}
