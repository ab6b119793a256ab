package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"time"

	"github.com/berth-run/berth/failpoint"
)

// debugServer answers on a unix socket that only root can open: /debug/pprof/ has
// profiles and goroutine dumps of a daemon that misbehaves, without a restart, and
// /failpoints lets tests break it.
type debugServer struct {
	listener net.Listener
	server   *http.Server
}

func newDebugServer(socket string, points *failpoint.Set) (*debugServer, error) {
	l, err := listen(socket)
	if err != nil {
		return nil, fmt.Errorf("debug socket: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	mux.Handle("/failpoints", points.Handler())
	mux.Handle("/failpoints/", points.Handler())
	return &debugServer{l, &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}}, nil
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
