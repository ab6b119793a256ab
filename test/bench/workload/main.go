// Command workload is what runs in the benchmark's containers. As process 1 of a
// container it handles SIGTERM itself, or else every measured teardown would be the grace
// period.
package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "workload:", err)
		os.Exit(1)
	}
}

// run works in the background and ends with SIGTERM.
func run(args []string) error {
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM, syscall.SIGINT)
	failed := make(chan error, 1)
	switch {
	case len(args) == 1 && args[0] == "pause":
	case len(args) == 2 && args[0] == "wake":
		every, err := time.ParseDuration(args[1])
		if err != nil {
			return err
		}
		go wake(every)
	case len(args) == 2 && args[0] == "write":
		bytes, err := strconv.ParseInt(args[1], 10, 64)
		if err != nil {
			return err
		}
		start := make(chan os.Signal, 1)
		signal.Notify(start, syscall.SIGUSR1)
		for n := range speeds {
			signal.Notify(start, syscall.Signal(slowest+n))
		}
		go func() { failed <- write(bytes, start) }()
	case len(args) == 3 && args[0] == "serve":
		bytes, err := strconv.ParseInt(args[2], 10, 64)
		if err != nil {
			return err
		}
		listener, err := net.Listen("tcp", ":"+args[1])
		if err != nil {
			return err
		}
		go func() { failed <- serve(listener, bytes) }()
	default:
		return fmt.Errorf("usage: pause | wake INTERVAL | write BYTES | serve PORT BYTES")
	}
	// Nobody is to stop a container before its signal handler is there.
	fmt.Println("ready")
	select {
	case <-term:
		return nil
	case err := <-failed:
		return err
	}
}

// wake does next to nothing, again and again, as most services do.
func wake(every time.Duration) {
	for range time.Tick(every) {
		_ = os.Getpid()
	}
}

// line is one of the log, 100 bytes with its end.
var line = strings.Repeat("0123456789", 9) + "abcdefghi\n"

// lines are as many as go into a pipe at once.
var lines = []byte(strings.Repeat(line, 640))

// The signal number slowest+n asks for 25<<n MiB a second, n being below speeds; SIGUSR1
// for as much as goes.
const (
	slowest = 40
	speeds  = 6
)

// write writes so many bytes of lines, and one that says END, whenever it is signalled.
func write(bytes int64, start <-chan os.Signal) error {
	for signal := range start {
		var out io.Writer = os.Stdout
		if signal != syscall.SIGUSR1 {
			out = &paced{began: time.Now(), rate: 25 << 20 << (int(signal.(syscall.Signal)) - slowest)}
		}
		if err := send(out, bytes); err != nil {
			return err
		}
		if _, err := io.WriteString(os.Stdout, "END\n"); err != nil {
			return err
		}
	}
	return nil
}

// paced writes to standard output, so many bytes a second.
type paced struct {
	began   time.Time
	rate    int64
	written int64
}

// Write implements io.Writer.
func (p *paced) Write(b []byte) (int, error) {
	due := p.began.Add(time.Duration(float64(p.written) / float64(p.rate) * float64(time.Second)))
	time.Sleep(time.Until(due))
	n, err := os.Stdout.Write(b)
	p.written += int64(n)
	return n, err
}

func send(w io.Writer, bytes int64) error {
	for bytes > 0 {
		n, err := w.Write(lines[:min(bytes, int64(len(lines)))])
		bytes -= int64(n)
		if err != nil {
			return err
		}
	}
	return nil
}

// serve sends so many bytes to everybody who connects.
func serve(listener net.Listener, bytes int64) error {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			_ = send(conn, bytes)
		}()
	}
}
