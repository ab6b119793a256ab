package service

import (
	"context"
	"fmt"
	"os"

	"github.com/berth-run/berth/shim/api"
	"github.com/berth-run/berth/shim/crilog"
	"github.com/berth-run/berth/shim/ociruntime"
)

// stdio are the container's ends of its standard streams.
type stdio struct {
	in, out, err *os.File
}

func (s stdio) close() {
	for _, f := range []*os.File{s.in, s.out, s.err} {
		if f != nil {
			f.Close()
		}
	}
}

// plumbing is what is set up before runc create and settled after it.
type plumbing struct {
	ours    streams
	theirs  stdio
	console *consoleSocket // with a terminal
}

func (p *plumbing) runtimeStreams() ociruntime.Streams {
	s := ociruntime.Streams{In: p.theirs.in, Out: p.theirs.out, Err: p.theirs.err}
	if p.console != nil {
		s.Console = p.console.name
	}
	return s
}

// plumb opens the log and makes the container's streams.
func (c *container) plumb() (p plumbing, err error) {
	if c.cfg.LogPath != "" {
		if c.log, err = crilog.Open(c.cfg.LogRoot, c.cfg.LogPath); err != nil {
			return p, err
		}
	}
	if c.stdio.Terminal {
		p.console, err = listenConsole(c.runtime.Bundle)
		return p, err
	}
	uid, gid := int(c.options.IoUID), int(c.options.IoGID)
	if c.own {
		p.ours, p.theirs, err = newPipes(c.cfg.Stdin, uid, gid)
		return p, err
	}
	if c.relay, p.theirs, err = openFIFOs(c.stdio, uid, gid); err != nil {
		return p, err
	}
	return p, c.relay.keepReaders(c.stdio)
}

// connect starts reading after the container has been created.
func (c *container) connect(ctx context.Context, p *plumbing, bufs *bufPool) (err error) {
	if p.console != nil {
		if c.console, err = p.console.receive(ctx); err != nil {
			return fmt.Errorf("receive the container's terminal: %w", err)
		}
		if !c.own {
			c.relay, err = relayTerminal(c.console, c.stdio)
			return err
		}
		if p.ours, err = terminalStreams(c.console, c.cfg.Stdin); err != nil {
			return err
		}
	}
	if p.ours.in != nil {
		c.stdin = newStdin(p.ours.in, c.cfg.StdinOnce && !c.cfg.TTY)
	}
	c.read(p.ours.out, api.StreamStdout, crilog.Stdout, bufs)
	c.read(p.ours.err, api.StreamStderr, crilog.Stderr, bufs)
	return nil
}

func (c *container) read(f *os.File, id api.StreamID, name string, bufs *bufPool) {
	if f == nil {
		return
	}
	r := &reader{f: f, id: id, fan: &c.fan, bufs: bufs, done: make(chan struct{})}
	if c.log != nil {
		limit := c.cfg.MaxLineBytes
		if limit == 0 {
			limit = api.DefaultMaxLineBytes
		}
		r.log = c.log.Stream(name, limit, c.cfg.TTY)
	}
	c.readers = append(c.readers, r)
	go r.run()
}

// abandon undoes plumb when the container was not created.
func (c *container) abandon(p *plumbing) {
	if len(c.readers) == 0 {
		p.ours.close()
	}
	if p.console != nil {
		p.console.close()
	}
	if c.console != nil {
		c.console.Close()
	}
	c.closeRelay()
	if c.log != nil {
		c.log.Close()
	}
	c.closePIDFD()
}

func (c *container) closeRelay() {
	if c.relay != nil {
		c.relay.close()
	}
}

// closeForeignStdin closes the stdin of a container whose streams are not the shim's own.
func (c *container) closeForeignStdin() {
	if c.relay != nil {
		c.relay.closeStdin()
	}
}
