// Command demo shows what Berth does: it pulls an image from a registry of its
// own, runs a pod of two containers, looks at it from all sides and takes it
// down again, naming for each step the command that does the same.
//
// It uses the daemon at BERTH_ADDRESS, else the one at the default socket, and
// starts one in directories of its own where neither answers. It speaks nothing
// but the CRI, so it runs against any other runtime as well.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/berth-run/berth/test/registry"
)

// limit bounds the whole demonstration.
const limit = 3 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	// A reader of the output that goes away, such as head, does not keep it from tidying up.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	ctx, cancel := context.WithTimeout(ctx, limit)
	err := run(ctx)
	cancel()
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "\ndemo:", err)
		os.Exit(1)
	}
}

// run is the demonstration between bringing up and taking down.
func run(ctx context.Context) (err error) {
	p := newPrinter(os.Stdout)
	e, err := connect(ctx, p)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.close(err != nil)) }()

	reg, err := registry.Start(registry.Options{})
	if err != nil {
		return fmt.Errorf("starting the registry: %w", err)
	}
	defer reg.Close()
	d := &demo{endpoint: e, print: p, image: reg.Host() + "/berth/demo:1"}
	if err := push(reg, d.image); err != nil {
		return err
	}
	if d.dir, err = os.MkdirTemp("", "berth-demo-"); err != nil {
		return err
	}
	defer os.RemoveAll(d.dir)

	p.intro(e)
	defer func() { err = errors.Join(err, d.tearDown()) }()
	for _, step := range []struct {
		title string
		do    func(context.Context) error
	}{
		{"Pull an image from a local registry", d.pull},
		{"Run a pod with two containers and a published port", d.runPod},
		{"The containers talk over localhost", d.readLogs},
		{"The published port answers on this machine", d.curl},
		{"Run a command in a container", d.exec},
		{"What it uses", d.stats},
	} {
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		p.step(step.title)
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.title, err)
		}
	}
	return nil
}
