package trace

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/berth-run/berth/test/bench/acct"
	"github.com/berth-run/berth/test/bench/pod"
	"github.com/berth-run/berth/test/bench/side"
)

// run is a program that a process ran: from its exec (or the fork, where it did not
// exec) to the next exec or the end.
type run struct {
	began, ended time.Duration
	depth        int
	command      string
}

// timeline runs a pod and shows which programs ran when, beside the calls.
func timeline(ctx context.Context, s *side.Side) (string, error) {
	c, err := newConnector()
	if err != nil {
		return "", err
	}
	defer c.close()
	roots := acct.PIDs(s.Group.Daemon())
	stop, got := make(chan struct{}), make(chan []event, 1)
	go func() { got <- c.collect(stop) }()
	p, err := pod.New(s, pod.Spec{})
	if err != nil {
		close(stop)
		return "", err
	}
	started := now()
	if err = p.Run(ctx); err == nil {
		err = p.AwaitReady(ctx)
	}
	time.Sleep(300 * time.Millisecond) // so that nothing of the start is taken for the end's
	ending := now()
	err = errors.Join(err, p.End(ctx))
	time.Sleep(500 * time.Millisecond)
	close(stop)
	events := <-got
	if err != nil {
		return "", err
	}
	return render(calls(p, started, ending), runs(events, roots), started), nil
}

// calls are the six calls as runs, in capitals.
func calls(p *pod.Pod, started, ending time.Duration) []run {
	var all []run
	add := func(at time.Duration, names []string, took ...time.Duration) {
		for n, d := range took {
			all = append(all, run{began: at, ended: at + d, depth: -1, command: names[n]})
			at += d
		}
	}
	add(started, []string{"RunPodSandbox", "CreateContainer", "StartContainer"}, p.Start.Run, p.Start.Create, p.Start.Start)
	add(ending, []string{"StopContainer", "StopPodSandbox", "RemovePodSandbox"},
		p.Teardown.StopContainer, p.Teardown.StopPod, p.Teardown.Remove)
	return all
}

// runs are those of processes that descend from the roots.
func runs(events []event, roots []int) []run {
	type process struct {
		depth, at int // at: index of its current run
	}
	known := map[int]process{}
	for _, pid := range roots {
		known[pid] = process{depth: 0, at: -1}
	}
	var all []run
	for _, e := range events {
		switch e.kind {
		case eventFork:
			if parent, ok := known[e.parent]; ok {
				all = append(all, run{began: e.at, depth: parent.depth + 1})
				known[e.pid] = process{parent.depth + 1, len(all) - 1}
			}
		case eventExec:
			p, ok := known[e.pid]
			if !ok || p.at < 0 {
				continue
			}
			if all[p.at].command != "" { // it runs something else from now on
				all[p.at].ended = e.at
				all = append(all, run{began: e.at, depth: p.depth})
				p.at = len(all) - 1
				known[e.pid] = p
			}
			all[p.at].command = e.command
		case eventExit:
			if p, ok := known[e.pid]; ok && p.at >= 0 {
				all[p.at].ended = e.at
				delete(known, e.pid)
			}
		}
	}
	return all
}

// render shows runs in the order in which they began, indented by who started them.
func render(calls, processes []run, zero time.Duration) string {
	all := append(slices.Clone(calls), processes...)
	slices.SortStableFunc(all, func(a, b run) int { return int(a.began - b.began) })
	var b strings.Builder
	b.WriteString("   begin   length  (ms)\n")
	for _, r := range all {
		length := "      –"
		if r.ended != 0 {
			length = fmt.Sprintf("%7.1f", milliseconds(r.ended-r.began))
		}
		command := r.command
		if command == "" {
			command = "(fork)"
		}
		fmt.Fprintf(&b, "%8.1f  %s  %s%s\n", milliseconds(r.began-zero), length, strings.Repeat("  ", r.depth+1), shorten(command))
	}
	return b.String()
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// shorten leaves what tells commands apart: no directories, IDs cut.
func shorten(command string) string {
	words := strings.Fields(command)
	for n, word := range words {
		if cut := strings.LastIndexByte(word, '/'); cut >= 0 && strings.HasPrefix(word, "/") {
			word = word[cut+1:]
		}
		if len(word) > 24 {
			word = word[:12] + "…"
		}
		words[n] = word
	}
	line := strings.Join(words, " ")
	if len(line) > 150 {
		line = line[:150] + "…"
	}
	return line
}
