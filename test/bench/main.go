// Command bench compares Berth with other CRI runtimes on this machine; `make bench` runs
// it, docs/performance.md says what it measures and how.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/berth-run/berth/test/bench/content"
	"github.com/berth-run/berth/test/bench/measure"
	"github.com/berth-run/berth/test/bench/pod"
	"github.com/berth-run/berth/test/bench/report"
	"github.com/berth-run/berth/test/bench/side"
	"github.com/berth-run/berth/test/bench/trace"
)

func main() {
	if serves, err := measure.ServeFloor(); serves {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	o, err := parse(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	// The first signal ends the measuring and tidies up; a second one is not listened to.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	// Nor does a reader of the output that goes away, such as head, end it before.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o *options) (err error) {
	if o.from != "" {
		result, err := report.ReadJSON(o.from)
		if err != nil {
			return err
		}
		if o.docs != "" && !result.Complete {
			return fmt.Errorf("the run in %s is not complete: it does not get into %s", o.from, o.docs)
		}
		return o.show(result)
	}
	began := time.Now()
	result := &report.Result{Began: began, Pods: o.pods, Machine: report.Look(o.bin), Command: o.command()}
	host, err := side.NewHost(ctx, side.Options{Bin: o.bin, Data: o.data})
	if err != nil {
		return err
	}
	defer func() {
		if cerr := host.Close(); cerr != nil {
			err = errors.Join(err, fmt.Errorf("tidying up: %w", cerr))
		}
	}()
	e := &measure.Env{Host: host, Result: result, Quick: o.quick, Rounds: o.rounds, Pods: o.pods}
	if len(o.only) == 0 && o.rounds == 0 {
		e.Schedule = o.schedule(began)
	}
	if err := bringUp(ctx, o, e); err != nil {
		return err
	}
	if o.profile != "" {
		return trace.Profile(ctx, host, o.profile)
	}
	err = measureAll(ctx, o, e)
	result.Took = time.Since(began)
	result.Complete = err == nil && ctx.Err() == nil
	if o.docs != "" && !result.Complete {
		fmt.Fprintf(os.Stderr, "bench: this run is not complete; what is in %s stays as it was\n", o.docs)
		o.docs = ""
	}
	if len(result.Metrics) > 0 {
		err = errors.Join(err, o.show(result))
	}
	return err
}

// bringUp starts the sides, pulls the image of pods and runs the first ones.
func bringUp(ctx context.Context, o *options, e *measure.Env) error {
	for _, name := range o.sides {
		s, err := e.Host.Add(name)
		if err != nil {
			return err
		}
		if _, _, err := s.Start(ctx); err != nil {
			return err
		}
	}
	for _, endpoint := range o.endpoints {
		name, address, _ := strings.Cut(endpoint, "=")
		if err := e.Host.Adopt(ctx, name, address); err != nil {
			return err
		}
	}
	e.Sides = e.Host.Sides
	for _, s := range e.Sides {
		e.Result.Sides = append(e.Result.Sides, s.Name)
		if err := pod.Pull(ctx, s, content.Workload); err != nil {
			return err
		}
	}
	if err := e.Warm(ctx); err != nil {
		return fmt.Errorf("the first pods: %w", err)
	}
	return nil
}

// measureAll runs what was asked for. A measurement that fails does not stop the others.
func measureAll(ctx context.Context, o *options, e *measure.Env) error {
	var errs []error
	for _, m := range measure.All() {
		if !o.wants(m) || ctx.Err() != nil {
			continue
		}
		if err := e.Measure(ctx, m); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", m.Names[0], err))
		}
	}
	return errors.Join(append(errs, e.Finish(ctx))...)
}
