package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/bench/acct"
)

// query asks a runtime something as one of the clients, and tells how many bytes came.
type query struct {
	name string
	ask  func(ctx context.Context, client int) (int, error)
}

// queries are what is measured; a runtime without an exporter of containers has no scrape.
func (n *node) queries() []query {
	call := func(method string, request proto.Message) query {
		return query{method, func(ctx context.Context, client int) (int, error) {
			var answer int
			err := n.conns[client].Invoke(ctx, "/runtime.v1.RuntimeService/"+method, request, &answer)
			return answer, err
		}}
	}
	all := []query{
		call("ListContainerStats", &runtimeapi.ListContainerStatsRequest{}),
		call("ListPodSandboxStats", &runtimeapi.ListPodSandboxStatsRequest{}),
		call("ListPodSandboxMetrics", &runtimeapi.ListPodSandboxMetricsRequest{}),
	}
	if n.metrics != "" {
		all = append(all, query{"scrape", n.scrape})
	}
	return all
}

func (n *node) scrape(ctx context.Context, client int) (int, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, n.metrics, nil)
	if err != nil {
		return 0, err
	}
	// As Prometheus asks.
	r.Header.Set("Accept", "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5")
	r.Header.Set("Accept-Encoding", "gzip")
	resp, err := n.http[client].Do(r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	size, err := io.Copy(io.Discard, resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("scrape: %s", resp.Status)
	}
	return int(size), err
}

// lap asks everything once as every client, so that connections are there.
func (n *node) lap(ctx context.Context, clients int) error {
	for _, q := range n.queries() {
		for client := range clients {
			if _, err := q.ask(ctx, client); err != nil {
				return fmt.Errorf("%s: %w", q.name, err)
			}
		}
	}
	return nil
}

// together has all clients ask at the same moment, round after round with a pause before each.
func (n *node) together(ctx context.Context, q query, o options, pause time.Duration) (latencies, int, error) {
	var mu sync.Mutex
	var all latencies
	size := 0
	began := time.Now()
	for round := range o.rounds {
		if round > 0 && time.Since(began) > o.patience {
			break
		}
		time.Sleep(pause)
		var g errgroup.Group
		for client := range o.clients {
			g.Go(func() error {
				start := time.Now()
				n, err := q.ask(ctx, client)
				took := time.Since(start)
				mu.Lock()
				defer mu.Unlock()
				all, size = append(all, took), n
				return err
			})
		}
		if err := g.Wait(); err != nil {
			return nil, 0, fmt.Errorf("%s: %w", q.name, err)
		}
	}
	slices.Sort(all)
	return all, size, nil
}

// kubelet makes the load of a kubelet with generic relisting, and of Prometheus: lists every
// second, stats every ten, a scrape every fifteen. It returns what the daemon used.
func (n *node) kubelet(ctx context.Context, d time.Duration) (use usage, err error) {
	start, used := time.Now(), n.cpu()
	memory := []acct.Use{acct.UseOf(n.DaemonPIDs())}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for second := 1; time.Since(start) < d; second++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return use, ctx.Err()
		}
		if err := n.poll(ctx, second); err != nil {
			return use, err
		}
		memory = append(memory, acct.UseOf(n.DaemonPIDs()))
	}
	use.core = float64(n.cpu()-used) / float64(time.Since(start))
	use.resident = median(memory, func(u acct.Use) int64 { return u.RSS })
	use.anonymous = median(memory, func(u acct.Use) int64 { return u.Anonymous })
	return use, nil
}

// poll asks what is due in a second of the load.
func (n *node) poll(ctx context.Context, second int) error {
	if _, err := n.Runtime.ListPodSandbox(ctx, &runtimeapi.ListPodSandboxRequest{}); err != nil {
		return err
	}
	if _, err := n.Runtime.ListContainers(ctx, &runtimeapi.ListContainersRequest{}); err != nil {
		return err
	}
	every := map[string]int{"ListPodSandboxStats": 10, "ListContainerStats": 10, "scrape": 15}
	for _, q := range n.queries() {
		if n := every[q.name]; n != 0 && second%n == 0 {
			if _, err := q.ask(ctx, 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// usage is what a daemon used while it was asked: the part of a core, and memory in bytes,
// its median over the time.
type usage struct {
	core                float64
	resident, anonymous int64
}

func median(of []acct.Use, value func(acct.Use) int64) int64 {
	values := make([]int64, 0, len(of))
	for _, u := range of {
		values = append(values, value(u))
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// raw counts the bytes of answers and leaves them: taking tens of thousands of objects apart would be the
// client's work, on the same processors.
type raw struct{}

// Marshal implements encoding.CodecV2.
func (raw) Marshal(v any) (mem.BufferSlice, error) {
	b, err := proto.Marshal(v.(proto.Message))
	return mem.BufferSlice{mem.SliceBuffer(b)}, err
}

// Unmarshal implements encoding.CodecV2.
func (raw) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*int) = data.Len()
	return nil
}

// Name implements encoding.CodecV2.
func (raw) Name() string { return "proto" }
