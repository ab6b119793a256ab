package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"runtime/pprof"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"

	"github.com/berth-run/berth/config"
)

// stopMargin is how long the daemon may take to stop beyond the waits for calls and for work, before it is ended
// with a dump of what it waits for.
const stopMargin = 20 * time.Second

// stopBound is the longest that a stop may take. The servers wait for calls for pod.drain_timeout, and the
// managers of pods and containers then wait as long for work whose callers have left.
func stopBound(c *config.Config) time.Duration { return 2*c.Pod.DrainTimeout.Duration + stopMargin }

// gcPercent is by how much the heap may grow before garbage is collected. The daemon's own
// memory is what a node cannot give to pods, and it has far less to do than they have; with
// Go's 100, polling 120 pods of two containers takes 20 MiB more. GOGC overrides it.
const gcPercent = 40

// serve loads the configuration, takes possession of the directories and runs
// the daemon until a signal ends it.
func serve(o *options) error {
	c, err := o.load()
	if err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return errors.New("has to run as root: it makes namespaces, mounts and control groups")
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	logs := setUpLogging(c.Log, os.Stderr, inJournal())
	defer klog.Flush()
	err = serveWith(o, c, logs)
	if err != nil && c.Log.Format == "json" {
		klog.Background().Error(err, "berthd ends with an error")
		return loggedError{err}
	}
	return err
}

// serveWith is serve once there is a configuration and a log.
func serveWith(o *options, c *config.Config, logs *logging) error {
	for _, key := range c.Retired() {
		klog.Background().Info("A key of the configuration has no effect", "key", key.Key, "reason", key.Message, "where", key.Origin.String())
	}
	unix.Umask(0o022)
	found, err := runPreflight(c)
	if err == nil {
		err = found.err()
	}
	if err != nil {
		return err
	}
	release, err := acquire(c.Paths())
	if err != nil {
		return err
	}
	defer release()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, unix.SIGTERM, unix.SIGINT, unix.SIGHUP)
	signal.Ignore(unix.SIGPIPE)
	defer signal.Stop(signals)
	r := &reloader{options: o, logs: logs, current: c}
	go handleSignals(signals, stop, stopBound(c), r.reload, c.Log.Format)
	return run(ctx, c)
}

// handleSignals calls stop on the first signal that asks for it and ends the
// process on the second one, or when stopping takes longer than bound. format is log.format.
func handleSignals(signals <-chan os.Signal, stop func(), bound time.Duration, reload func(), format string) {
	var overdue <-chan time.Time
	stopping := false
	for {
		select {
		case s, ok := <-signals:
			switch {
			case !ok:
				return
			case s == unix.SIGHUP:
				reload()
			case stopping:
				klog.Background().Info("Ending at once", "signal", s.String())
				klog.Flush()
				os.Exit(128 + int(s.(syscall.Signal)))
			default:
				stopping = true
				klog.Background().Info("Stopping; pods go on running", "signal", s.String())
				notifyStopping()
				overdue = time.After(bound)
				stop()
			}
		case <-overdue:
			sayStuck(bound, format)
			os.Exit(exitFailure)
		}
	}
}

// sayStuck writes what a daemon that did not stop within bound is doing, as one record where log.format is json.
func sayStuck(bound time.Duration, format string) {
	if format == "json" {
		var goroutines strings.Builder
		_ = pprof.Lookup("goroutine").WriteTo(&goroutines, 1) // a builder takes everything
		klog.Background().Error(nil, "Did not stop in time", "bound", bound.String(), "goroutines", goroutines.String())
		klog.Flush()
		return
	}
	complain(os.Stderr, inJournal(), fmt.Sprintf("berthd: did not stop within %s; this is what it was doing:", bound))
	_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 1)
}

// loggedError is an error that the log has already, in its format.
type loggedError struct{ error }

// Unwrap returns the error.
func (l loggedError) Unwrap() error { return l.error }

// reloader applies what may change while the daemon runs. It is used by one
// goroutine only.
type reloader struct {
	options *options
	logs    *logging
	current *config.Config
}

// reload reads the configuration again. A configuration with a mistake changes
// nothing.
func (r *reloader) reload() {
	logger := klog.Background()
	notifyReloading()
	defer notifyReady("")
	next, err := r.options.load()
	if err != nil {
		logger.Error(err, "Reloading failed; the configuration stays as it was")
		return
	}
	var waiting []string
	for _, key := range r.current.Changed(next) {
		if !config.Reloadable(key) {
			waiting = append(waiting, key)
		}
	}
	r.logs.setLevel(next.Log.Level)
	r.current.Log.Level = next.Log.Level
	logger.Info("Reloaded the configuration", "logLevel", next.Log.Level, "waitingForRestart", strings.Join(waiting, ", "))
}
