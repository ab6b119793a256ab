// Command bench measures what metrics and stats cost on a full node: 120 pods of two containers,
// eight clients that ask at once, and a load as the kubelet and Prometheus make it. It runs Berth
// and containerd's CRI plugin one after the other and prints a table. It needs root and the
// programs of make build:
//
//	go run ./test/metrics/bench -pods 120
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/berth-run/berth/test/bench/content"
	"github.com/berth-run/berth/test/bench/pod"
	"github.com/berth-run/berth/test/bench/side"
)

type options struct {
	bin, sides    string
	pods, clients int
	rounds        int
	patience      time.Duration
	load          time.Duration
	heap          string
	awake         time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.bin, "bin", "bin", "directory with berthd and its companions")
	flag.StringVar(&o.sides, "sides", side.Berth+","+side.Containerd, "runtimes to measure")
	flag.IntVar(&o.pods, "pods", 120, "pods, of two containers each")
	flag.IntVar(&o.clients, "clients", 8, "clients that ask at once")
	flag.IntVar(&o.rounds, "rounds", 25, "how often all clients ask")
	flag.DurationVar(&o.patience, "patience", 45*time.Second, "after which no further round of a call begins")
	flag.DurationVar(&o.load, "load", time.Minute, "how long the load of a kubelet lasts")
	flag.StringVar(&o.heap, "heap", "", "file for a heap profile of Berth after the load")
	flag.DurationVar(&o.awake, "awake", 0, "how often each container does something; 0 is never")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	bin, err := filepath.Abs(o.bin)
	if err != nil {
		return err
	}
	host, err := side.NewHost(ctx, side.Options{Bin: bin})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, host.Close()) }()
	t := &table{}
	for _, name := range strings.Split(o.sides, ",") {
		s, err := host.Add(name)
		if err != nil {
			return err
		}
		if err := measure(ctx, s, o, t.column(name)); err != nil {
			return fmt.Errorf("%s: %w\n%s", name, err, s.LogTail(2000))
		}
	}
	t.print(os.Stdout)
	return nil
}

// measure fills a runtime's column.
func measure(ctx context.Context, s *side.Side, o options, c *column) (err error) {
	if _, _, err := s.Start(ctx); err != nil {
		return err
	}
	if err := pod.Pull(ctx, s, content.Workload); err != nil {
		return err
	}
	n := &node{Side: s, awake: o.awake}
	if err := n.connect(o.clients); err != nil {
		return err
	}
	defer n.close()
	defer func() { err = errors.Join(err, n.remove(context.WithoutCancel(ctx))) }()
	empty, busy, err := n.fill(ctx, o)
	if err != nil {
		return err
	}
	c.set("CPU under a kubelet's load", fmt.Sprintf("%.2f %% of a core", 100*busy.core))
	perPod := func(now, before int64) string {
		return fmt.Sprintf("%.0f KiB", float64(now-before)/float64(o.pods-1)/1024)
	}
	c.set("memory of the daemon, a pod", perPod(busy.resident, empty.resident))
	c.set("  of it not the page cache of the database", perPod(busy.anonymous, empty.anonymous))
	if o.heap != "" && s.Debug != "" {
		if err := n.profile(ctx, o.heap); err != nil {
			return err
		}
	}
	if n.metrics != "" {
		n.goMemory(ctx, c)
	}
	if err := n.latencies(ctx, o, c); err != nil {
		return err
	}
	c.set("memory after many clients at once, a pod", perPod(n.memory(), empty.resident))
	return nil
}

// fill makes the load of a kubelet with one pod, and then with all of them.
func (n *node) fill(ctx context.Context, o options) (empty, busy usage, err error) {
	// What every daemon needs once, whatever the number of pods, is not the pods'.
	if err := errors.Join(n.start(ctx, 1), n.lap(ctx, o.clients)); err != nil {
		return empty, busy, err
	}
	logf("%s: the load of a kubelet with one pod", n.Name)
	if empty, err = n.kubelet(ctx, o.load/4); err != nil {
		return empty, busy, err
	}
	logf("%s: starting %d pods", n.Name, o.pods)
	if err := n.start(ctx, o.pods-1); err != nil {
		return empty, busy, err
	}
	time.Sleep(3 * time.Second)
	logf("%s: the load of a kubelet for %s", n.Name, o.load)
	busy, err = n.kubelet(ctx, o.load)
	return empty, busy, err
}

// latencies lets all clients ask at once, each call in turn.
func (n *node) latencies(ctx context.Context, o options, c *column) error {
	for _, q := range n.queries() {
		logf("%s: %s", n.Name, q.name)
		// Cold: everybody at once, after what was found out before has grown old.
		cold, size, err := n.together(ctx, q, o, 1200*time.Millisecond)
		if err != nil {
			return err
		}
		c.set(q.name+", at once", cold.String())
		c.set(q.name+", answer", fmt.Sprintf("%.1f MiB", float64(size)/(1<<20)))
		hot, _, err := n.together(ctx, q, o, 0)
		if err != nil {
			return err
		}
		c.set(q.name+", again and again", hot.String())
	}
	return nil
}

func logf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format(time.TimeOnly)+" "+format+"\n", args...)
}
