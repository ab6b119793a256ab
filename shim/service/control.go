package service

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"time"

	"github.com/berth-run/berth/shim/api"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

const (
	// maxConns bounds the control socket's connections.
	maxConns = 512
	// requestTimeout bounds the reading of a request and the sending of a response.
	requestTimeout = 10 * time.Second
	// closeStdinTimeout bounds the wait for a container to read what it was sent.
	closeStdinTimeout = 5 * time.Second
)

// control serves Berth's control protocol (see shim/api/wire.go).
type control struct {
	svc   *Service
	podID string
	build string
	slots chan struct{}
}

func newControl(svc *Service, podID, build string) *control {
	return &control{svc: svc, podID: podID, build: build, slots: make(chan struct{}, maxConns)}
}

// serve accepts connections until the listener is closed.
func (c *control) serve(l *net.UnixListener) {
	for {
		conn, err := l.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// Out of descriptors, most likely: give it time to pass.
			logf("cannot accept a control connection: %v", err)
			time.Sleep(100 * time.Millisecond)
			continue
		}
		select {
		case c.slots <- struct{}{}:
			go func() {
				defer func() { <-c.slots }()
				c.handle(conn)
			}()
		default:
			conn.Close()
		}
	}
}

func (c *control) handle(conn *net.UnixConn) {
	keep := false
	defer func() {
		if !keep {
			conn.Close()
		}
	}()
	_ = conn.SetDeadline(time.Now().Add(requestTimeout))
	if err := checkPeer(conn); err != nil {
		reply(conn, api.Response{}, err)
		return
	}
	r := bufio.NewReaderSize(conn, 4<<10)
	var req api.Request
	if err := api.ReadMessage(r, api.MaxRequestBytes, &req); err != nil {
		reply(conn, api.Response{}, err)
		return
	}
	switch req.Op {
	case api.OpWatch:
		c.watch(conn, r)
	case api.OpAttach:
		keep = c.attach(conn, r, req)
	case api.OpStatus:
		reply(conn, api.Response{Status: c.status()}, nil)
	case api.OpShutdown:
		err := c.checkShutdown(req.Force)
		reply(conn, api.Response{}, err)
		if err == nil {
			c.svc.shutdown()
		}
	default:
		err := c.do(req)
		_ = conn.SetDeadline(time.Now().Add(requestTimeout)) // some take longer than that
		reply(conn, api.Response{}, err)
	}
}

// checkPeer admits the user the shim runs as, and root.
func checkPeer(conn *net.UnixConn) error {
	rc, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var cred *unix.Ucred
	var cerr error
	if err := rc.Control(func(fd uintptr) {
		cred, cerr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return err
	}
	if cerr != nil {
		return fmt.Errorf("look at the peer: %w", cerr)
	}
	if cred.Uid != 0 && int(cred.Uid) != os.Geteuid() {
		return fmt.Errorf("user %d may not use this socket: %w", cred.Uid, errdefs.ErrPermissionDenied)
	}
	return nil
}

// do runs an operation that is answered by success or an error.
func (c *control) do(req api.Request) error {
	switch req.Op {
	case api.OpForget:
		return c.forget(req.ID)
	case api.OpAbandon:
		ctx, cancel := context.WithTimeout(c.svc.ctx, runtimeTimeout)
		defer cancel()
		return c.svc.abandon(ctx, req.ID)
	}
	ctr := c.svc.container(req.ID)
	switch req.Op {
	case api.OpReopenLog, api.OpResize, api.OpCloseStdin:
		if ctr == nil {
			return fmt.Errorf("no task of container %q here: %w", req.ID, errdefs.ErrNotFound)
		}
	}
	switch req.Op {
	case api.OpReopenLog:
		return ctr.reopen()
	case api.OpResize:
		return ctr.resize(req.Width, req.Height)
	case api.OpCloseStdin:
		if ctr.stdin == nil || ctr.cfg.TTY {
			return fmt.Errorf("container %s has no stdin that can be closed: %w", req.ID, errdefs.ErrFailedPrecondition)
		}
		return ctr.stdin.finish(closeStdinTimeout)
	}
	return fmt.Errorf("unknown operation %q, this shim speaks version %d of the protocol: %w",
		req.Op, api.ProtocolVersion, errdefs.ErrNotImplemented)
}

// reopen opens the log's path anew.
func (c *container) reopen() error {
	if c.log == nil {
		return fmt.Errorf("container %s has no log: %w", c.id, errdefs.ErrFailedPrecondition)
	}
	if c.state() == api.StateExited {
		return fmt.Errorf("container %s has ended: %w", c.id, errdefs.ErrFailedPrecondition)
	}
	return c.log.Reopen()
}

func (c *control) forget(id string) error {
	r, ok := c.svc.registry.get(id)
	if !ok {
		return nil
	}
	if c.svc.container(id) != nil && r.State != api.StateExited {
		return fmt.Errorf("container %s is %s: %w", id, r.State, errdefs.ErrFailedPrecondition)
	}
	c.svc.registry.remove(id)
	return nil
}

func (c *control) status() *api.Status {
	return &api.Status{
		PID: os.Getpid(), PodID: c.podID, Protocol: api.ProtocolVersion, Build: c.build,
		Goroutines: runtime.NumGoroutine(),
		Containers: c.svc.snapshot(c.svc.registry.all()),
	}
}

// snapshot brings the log counters of running containers up to date.
func (s *Service) snapshot(records []api.Record) []api.Record {
	for i, r := range records {
		if c := s.container(r.ID); c != nil && c.log != nil {
			st := c.log.Stats()
			records[i].LogBytes, records[i].LogDroppedBytes = st.Bytes, st.Lost.Bytes
		}
	}
	return records
}

func (c *control) checkShutdown(force bool) error {
	c.svc.mu.Lock()
	defer c.svc.mu.Unlock()
	if n := len(c.svc.containers); n > 0 && !force {
		return fmt.Errorf("%d tasks have not been deleted: %w", n, errdefs.ErrFailedPrecondition)
	}
	return nil
}

// watch sends the snapshot and then events until the client goes or is too slow.
func (c *control) watch(conn *net.UnixConn, r *bufio.Reader) {
	if !reply(conn, api.Response{}, nil) {
		return
	}
	records, w := c.svc.registry.watch()
	defer c.svc.registry.drop(w)
	var b []byte
	for _, rec := range c.svc.snapshot(records) {
		b, _ = api.AppendMessage(b, api.Event{Type: api.EventSnapshot, Record: rec})
	}
	b, _ = api.AppendMessage(b, api.Event{Type: api.EventSynced})
	if _, err := conn.Write(b); err != nil {
		return
	}
	_ = conn.SetDeadline(time.Time{})
	go func() {
		_, _ = r.ReadByte() // returns when the client has gone
		c.svc.registry.drop(w)
	}()
	for e := range w.events {
		b, _ = api.AppendMessage(b[:0], e)
		_ = conn.SetWriteDeadline(time.Now().Add(requestTimeout))
		if _, err := conn.Write(b); err != nil {
			return
		}
	}
}

// response makes the response for err.
func response(err error) api.Response {
	resp := api.Response{Version: api.ProtocolVersion}
	if err != nil {
		resp.Code, resp.Message = api.ErrorCode(err), err.Error()
	}
	return resp
}

// reply sends a response and reports whether the connection took it.
func reply(conn net.Conn, resp api.Response, err error) bool {
	e := response(err)
	resp.Version, resp.Code, resp.Message = e.Version, e.Code, e.Message
	b, err := api.AppendMessage(nil, resp)
	if err != nil {
		return false
	}
	_, err = conn.Write(b)
	return err == nil
}
