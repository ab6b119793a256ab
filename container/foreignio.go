package container

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/berth-run/berth/cri/streaming"
	"github.com/berth-run/berth/internal/task"
	"github.com/berth-run/berth/shim/crilog"
)

const (
	// foreignDrain is how long after an exit the FIFOs may still bring output.
	foreignDrain = 500 * time.Millisecond
	// foreignQueue is how many chunks an attached client may be behind.
	foreignQueue = 64
)

// errSlowClient ends an attach whose client does not take the output.
var errSlowClient = errors.New("the client does not take the container's output fast enough")

// foreignIO are the streams of one container with a foreign shim.
type foreignIO struct {
	dir        string
	tty        bool
	stdin      *os.File // nil: no stdin
	outputs    []*os.File
	log        *crilog.File // nil: not logged
	stdinOnce  bool
	closeStdin func()
	readers    sync.WaitGroup
	drained    sync.Once

	mu      sync.Mutex
	clients map[*foreignClient]struct{}
	ended   chan struct{}
}

// foreignClient is one attached client.
type foreignClient struct {
	chunks chan foreignChunk
	slow   chan struct{}
}

type foreignChunk struct {
	stderr bool
	data   []byte
}

func newForeignIO(dir, logRoot, logPath string, maxLine int, stdin, tty bool) (_ *foreignIO, err error) {
	f := &foreignIO{dir: dir, tty: tty, clients: map[*foreignClient]struct{}{}, ended: make(chan struct{})}
	defer func() {
		if err != nil {
			f.closeFiles()
		}
	}()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if logPath != "" {
		if f.log, err = crilog.Open(logRoot, logPath); err != nil {
			return nil, err
		}
	}
	if stdin {
		if f.stdin, err = mkfifo(filepath.Join(dir, "stdin")); err != nil {
			return nil, err
		}
	}
	names := []string{crilog.Stdout, crilog.Stderr}
	if tty {
		names = names[:1]
	}
	for _, name := range names {
		file, err := mkfifo(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		f.outputs = append(f.outputs, file)
		var stream *crilog.Stream
		if f.log != nil {
			stream = f.log.Stream(name, maxLine, tty)
		}
		f.readers.Go(func() { f.read(file, stream, name == crilog.Stderr) })
	}
	return f, nil
}

// stdio are the FIFOs as the shim opens them.
func (f *foreignIO) stdio() task.Stdio {
	s := task.Stdio{Stdout: filepath.Join(f.dir, crilog.Stdout), Terminal: f.tty}
	if f.stdin != nil {
		s.Stdin = filepath.Join(f.dir, "stdin")
	}
	if !f.tty {
		s.Stderr = filepath.Join(f.dir, crilog.Stderr)
	}
	return s
}

// read takes a FIFO's output to the log and the attached clients until the FIFO is
// closed, or its deadline has passed with nothing left in it.
func (f *foreignIO) read(file *os.File, stream *crilog.Stream, stderr bool) {
	buf := make([]byte, 32<<10)
	for {
		n, err := file.Read(buf)
		if n > 0 {
			if stream != nil {
				_, _ = stream.Write(buf[:n])
			}
			f.fan(foreignChunk{stderr: stderr, data: append([]byte(nil), buf[:n]...)})
		}
		if err != nil {
			break
		}
	}
	if stream != nil {
		stream.End()
	}
}

func (f *foreignIO) fan(chunk foreignChunk) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.clients {
		select {
		case c.chunks <- chunk:
		default:
			close(c.slow)
			delete(f.clients, c)
		}
	}
}

// drain waits until nothing more comes, within a bound, and ends attached clients.
func (f *foreignIO) drain() {
	f.drained.Do(func() {
		for _, file := range f.outputs {
			_ = file.SetReadDeadline(time.Now().Add(foreignDrain))
		}
		f.readers.Wait()
		close(f.ended)
	})
}

// close drains and closes everything.
func (f *foreignIO) close() {
	f.drain()
	f.closeFiles()
}

func (f *foreignIO) closeFiles() {
	for _, file := range append(f.outputs, f.stdin) {
		if file != nil {
			file.Close()
		}
	}
	if f.log != nil {
		f.log.Close()
	}
}

// reopen opens the log anew.
func (f *foreignIO) reopen() error {
	if f == nil || f.log == nil {
		return precondition("the container has no log")
	}
	return f.log.Reopen()
}

// attach copies between the client and the container until one of them ends.
func (f *foreignIO) attach(ctx context.Context, c *Container, streams streaming.IO) error {
	if f == nil {
		return precondition("the streams of %s are not open", c.Name())
	}
	client := &foreignClient{chunks: make(chan foreignChunk, foreignQueue), slow: make(chan struct{})}
	f.mu.Lock()
	f.clients[client] = struct{}{}
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		delete(f.clients, client)
		f.mu.Unlock()
	}()
	if streams.Stdin != nil && f.stdin != nil {
		go f.feed(streams.Stdin)
	}
	for {
		select {
		case chunk := <-client.chunks:
			if err := chunk.write(streams); err != nil {
				return err
			}
		case <-client.slow:
			return errSlowClient
		case <-f.ended:
			return flush(client, streams)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// flush writes what is queued.
func flush(client *foreignClient, streams streaming.IO) error {
	for {
		select {
		case chunk := <-client.chunks:
			if err := chunk.write(streams); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

func (f *foreignIO) feed(stdin io.Reader) {
	_, _ = io.Copy(f.stdin, stdin)
	if f.stdinOnce {
		f.closeStdin()
	}
}

func (c foreignChunk) write(streams streaming.IO) error {
	w := streams.Stdout
	if c.stderr {
		w = streams.Stderr
	}
	if w == nil {
		return nil
	}
	_, err := w.Write(c.data)
	return err
}
