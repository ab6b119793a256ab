package service

import (
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/berth-run/berth/shim/api"
	"github.com/containerd/errdefs"
)

const (
	// queueBytes is how far a client may be behind.
	queueBytes = 1 << 20
	// maxClients is how many clients may attach to one container.
	maxClients = 64
	// A client that does not keep up may hold up the container for at most patience, and after
	// that for one part in patienceRefill of the time; then it is cut off.
	patience       = 100 * time.Millisecond
	patienceRefill = 20
	// endTimeout bounds the sending of the last output.
	endTimeout = 10 * time.Second
)

// fanout copies a container's output to its attached clients.
type fanout struct {
	mu      sync.Mutex
	clients []*client
	closed  bool
}

func (f *fanout) add(c *client) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return fmt.Errorf("the container has ended: %w", errdefs.ErrFailedPrecondition)
	}
	if len(f.clients) >= maxClients {
		return fmt.Errorf("%d clients are attached already: %w", len(f.clients), errdefs.ErrResourceExhausted)
	}
	// A copy: send works on the slice it found.
	f.clients = append(slices.Clip(f.clients), c)
	return nil
}

func (f *fanout) remove(c *client) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.clients = slices.DeleteFunc(slices.Clone(f.clients), func(o *client) bool { return o == c })
}

// send queues output for every client; it may wait for a slow one, within that one's patience.
func (f *fanout) send(id api.StreamID, p []byte) {
	f.mu.Lock()
	clients := f.clients
	f.mu.Unlock()
	if len(clients) == 0 {
		return
	}
	frame := api.AppendFrame(make([]byte, 0, len(p)+8), id, p)
	for _, c := range clients {
		if c.wants(id) {
			c.push(frame)
		}
	}
}

// close ends all clients after what is queued.
func (f *fanout) close() {
	f.mu.Lock()
	clients := f.clients
	f.clients, f.closed = nil, true
	f.mu.Unlock()
	for _, c := range clients {
		c.end(nil)
	}
}

// client is one attached client's output queue.
type client struct {
	conn           *net.UnixConn
	stdout, stderr bool

	mu       sync.Mutex
	queue    [][]byte
	queued   int
	ended    bool
	err      error
	budget   time.Duration
	refilled time.Time
	more     chan struct{} // has a token when the queue or ended changed
	space    chan struct{} // has a token when the queue became shorter
}

func newClient(conn *net.UnixConn, stdout, stderr bool) *client {
	return &client{
		conn: conn, stdout: stdout, stderr: stderr, budget: patience, refilled: time.Now(),
		more: make(chan struct{}, 1), space: make(chan struct{}, 1),
	}
}

func (c *client) wants(id api.StreamID) bool {
	return id == api.StreamStdout && c.stdout || id == api.StreamStderr && c.stderr
}

// push queues a frame that nobody will change. When there is no room it waits; a client whose
// patience is used up is cut off.
func (c *client) push(frame []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.ended && c.queued > 0 && c.queued+len(frame) > queueBytes {
		if !c.waitSpace() {
			c.endLocked(fmt.Errorf("the client is too slow, more than %d bytes behind: %w", c.queued, errdefs.ErrResourceExhausted))
		}
	}
	if c.ended {
		return
	}
	c.queue = append(c.queue, frame)
	c.queued += len(frame)
	wake(c.more)
}

// waitSpace waits, with the lock released, until the queue became shorter, or for what the budget
// allows: then it returns false.
func (c *client) waitSpace() bool {
	now := time.Now()
	c.budget = min(patience, c.budget+now.Sub(c.refilled)/patienceRefill)
	c.refilled = now
	if c.budget <= 0 {
		return false
	}
	budget := c.budget
	c.mu.Unlock()
	timer := time.NewTimer(budget)
	ok := true
	select {
	case <-c.space:
	case <-timer.C:
		ok = false
	}
	timer.Stop()
	c.mu.Lock()
	now = time.Now()
	c.budget -= now.Sub(c.refilled)
	c.refilled = now
	return ok
}

// end lets run finish after what is queued, or, with an error, after the frame it is at.
func (c *client) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endLocked(err)
}

func (c *client) endLocked(err error) {
	if c.ended {
		return
	}
	c.ended, c.err = true, err
	if err != nil {
		c.queue, c.queued = nil, 0
	}
	_ = c.conn.SetWriteDeadline(time.Now().Add(endTimeout))
	wake(c.more)
	wake(c.space)
}

// run sends what is queued until the client is ended or its connection breaks, then says why and
// closes the connection.
func (c *client) run() {
	defer c.conn.Close()
	for {
		frames, end, err := c.take()
		for _, f := range frames {
			if _, werr := c.conn.Write(f); werr != nil {
				c.end(werr)
				return
			}
		}
		if end {
			c.sayWhy(err)
			return
		}
		if len(frames) == 0 {
			<-c.more
		}
	}
}

// take empties the queue; end is set when nothing will follow.
func (c *client) take() (frames [][]byte, end bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	frames = c.queue
	c.queue, c.queued = nil, 0
	if len(frames) > 0 {
		wake(c.space)
	}
	return frames, c.ended, c.err
}

func (c *client) sayWhy(err error) {
	b, merr := api.AppendMessage(nil, response(err))
	if merr != nil {
		return
	}
	_, _ = c.conn.Write(api.AppendFrame(nil, api.StreamEnd, b))
}

// wake puts a token into a channel of capacity one.
func wake(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
