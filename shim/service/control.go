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

	"github.com/berth-run/berth/shim"
	taskAPI "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/log"
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

// control serves Berth's control protocol (see shim/wire.go).
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
			log.L.WithError(err).Warn("cannot accept a control connection")
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
		reply(conn, shim.Response{}, err)
		return
	}
	r := bufio.NewReaderSize(conn, 4<<10)
	var req shim.Request
	if err := shim.ReadMessage(r, shim.MaxRequestBytes, &req); err != nil {
		reply(conn, shim.Response{}, err)
		return
	}
	switch req.Op {
	case shim.OpWatch:
		c.watch(conn, r)
	case shim.OpAttach:
		keep = c.attach(conn, r, req)
	case shim.OpStatus:
		reply(conn, shim.Response{Status: c.status()}, nil)
	case shim.OpShutdown:
		err := c.checkShutdown(req.Force)
		reply(conn, shim.Response{}, err)
		if err == nil {
			c.svc.shutdown.Shutdown()
		}
	default:
		reply(conn, shim.Response{}, c.do(req))
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
func (c *control) do(req shim.Request) error {
	switch req.Op {
	case shim.OpForget:
		return c.forget(req.ID)
	case shim.OpAbandon:
		ctx, cancel := context.WithTimeout(c.svc.ctx, runtimeTimeout)
		defer cancel()
		return c.svc.abandon(ctx, req.ID)
	}
	ctr := c.svc.container(req.ID)
	switch req.Op {
	case shim.OpReopenLog, shim.OpResize, shim.OpCloseStdin:
		if ctr == nil {
			return fmt.Errorf("no task of container %q here: %w", req.ID, errdefs.ErrNotFound)
		}
	}
	switch req.Op {
	case shim.OpReopenLog:
		return ctr.reopen()
	case shim.OpResize:
		ctx, cancel := context.WithTimeout(c.svc.ctx, requestTimeout)
		defer cancel()
		_, err := c.svc.ResizePty(ctx, &taskAPI.ResizePtyRequest{ID: req.ID, Width: uint32(req.Width), Height: uint32(req.Height)})
		return errgrpc.ToNative(err)
	case shim.OpCloseStdin:
		if ctr.stdin == nil || ctr.cfg.TTY {
			return fmt.Errorf("container %s has no stdin that can be closed: %w", req.ID, errdefs.ErrFailedPrecondition)
		}
		return ctr.stdin.finish(closeStdinTimeout)
	}
	return fmt.Errorf("unknown operation %q, this shim speaks version %d of the protocol: %w",
		req.Op, shim.ProtocolVersion, errdefs.ErrNotImplemented)
}

// reopen opens the log's path anew.
func (c *container) reopen() error {
	if c.log == nil {
		return fmt.Errorf("container %s has no log: %w", c.id, errdefs.ErrFailedPrecondition)
	}
	if c.state() == shim.StateExited {
		return fmt.Errorf("container %s has ended: %w", c.id, errdefs.ErrFailedPrecondition)
	}
	return c.log.Reopen()
}

func (c *control) forget(id string) error {
	r, ok := c.svc.registry.get(id)
	if !ok {
		return nil
	}
	if c.svc.container(id) != nil && r.State != shim.StateExited {
		return fmt.Errorf("container %s is %s: %w", id, r.State, errdefs.ErrFailedPrecondition)
	}
	c.svc.registry.remove(id)
	return nil
}

func (c *control) status() *shim.Status {
	return &shim.Status{
		PID: os.Getpid(), PodID: c.podID, Protocol: shim.ProtocolVersion, Build: c.build,
		Goroutines: runtime.NumGoroutine(),
		Containers: c.svc.snapshot(c.svc.registry.all()),
	}
}

// snapshot brings the log counters of running containers up to date.
func (s *Service) snapshot(records []shim.Record) []shim.Record {
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
	if !reply(conn, shim.Response{}, nil) {
		return
	}
	records, w := c.svc.registry.watch()
	defer c.svc.registry.drop(w)
	var b []byte
	for _, rec := range c.svc.snapshot(records) {
		b, _ = shim.AppendMessage(b, shim.Event{Type: shim.EventSnapshot, Record: rec})
	}
	b, _ = shim.AppendMessage(b, shim.Event{Type: shim.EventSynced})
	if _, err := conn.Write(b); err != nil {
		return
	}
	_ = conn.SetDeadline(time.Time{})
	go func() {
		_, _ = r.ReadByte() // returns when the client has gone
		c.svc.registry.drop(w)
	}()
	for e := range w.events {
		b, _ = shim.AppendMessage(b[:0], e)
		_ = conn.SetWriteDeadline(time.Now().Add(requestTimeout))
		if _, err := conn.Write(b); err != nil {
			return
		}
	}
}

// response makes the response for err.
func response(err error) shim.Response {
	resp := shim.Response{Version: shim.ProtocolVersion}
	if err != nil {
		resp.Code, resp.Message = shim.ErrorCode(err), err.Error()
	}
	return resp
}

// reply sends a response and reports whether the connection took it.
func reply(conn net.Conn, resp shim.Response, err error) bool {
	e := response(err)
	resp.Version, resp.Code, resp.Message = e.Version, e.Code, e.Message
	b, err := shim.AppendMessage(nil, resp)
	if err != nil {
		return false
	}
	_, err = conn.Write(b)
	return err == nil
}
