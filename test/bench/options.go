package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/berth-run/berth/test/bench/measure"
	"github.com/berth-run/berth/test/bench/report"
	"github.com/berth-run/berth/test/bench/side"
)

// options are the command line.
type options struct {
	quick     bool
	only      []string
	sides     []string
	endpoints []string
	rounds    int
	pods      int
	bin, data string
	json, svg string
	docs      string
	profile   string
	from      string
	strict    bool
	began     int64

	args []string
}

func parse(args []string) (*options, error) {
	o := &options{args: args}
	flags := flag.NewFlagSet("bench", flag.ExitOnError)
	flags.BoolVar(&o.quick, "quick", false, "the short form: fewer rounds and measurements, one line for each target")
	only := flags.String("only", "", "measurements to run, separated by commas: "+names())
	sides := flags.String("sides", "", "runtimes to bring up; all of them ("+strings.Join(allSides(), ",")+"), or the first and the last in the short form")
	flags.Func("endpoint", "NAME=unix:///PATH of a CRI runtime that runs already; may be repeated", func(v string) error {
		if name, address, ok := strings.Cut(v, "="); !ok || name == "" || !strings.HasPrefix(address, "unix://") {
			return errors.New("want NAME=unix:///PATH")
		}
		o.endpoints = append(o.endpoints, v)
		return nil
	})
	flags.IntVar(&o.rounds, "rounds", 0, "rounds of each measurement, in place of the planned ones and their time limits")
	flags.IntVar(&o.pods, "pods", 0, "idle pods of the measurements that want some; 100, or 20 in the short form")
	flags.StringVar(&o.bin, "bin", "bin", "directory with Berth and its companions")
	flags.StringVar(&o.data, "data", "", "directory for the daemons' data, such as a fresh XFS; empty is a tmpfs")
	flags.StringVar(&o.json, "json", "", "file for everything that was measured")
	flags.StringVar(&o.svg, "svg", "", "file for the picture")
	flags.StringVar(&o.docs, "write-docs", "", "directory with performance.md, into which tables and picture are written")
	flags.StringVar(&o.profile, "profile", "", "measure nothing; write CPU profiles and what strace sees of a pod cycle into this directory")
	flags.StringVar(&o.from, "from", "", "measure nothing; show what an earlier run has written with --json")
	flags.BoolVar(&o.strict, "strict", false, "fail when a target is missed")
	flags.Int64Var(&o.began, "began", 0, "seconds since 1970 of when the time began in which a whole run has to be over; make's build counts")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	o.only, o.sides = list(*only), list(*sides)
	if o.pods == 0 {
		if o.pods = 100; o.quick {
			o.pods = 20
		}
	}
	if len(o.sides) == 0 {
		if o.sides = allSides(); o.quick {
			o.sides = []string{side.Berth, side.Containerd}
		}
	}
	return o, o.check()
}

func allSides() []string { return []string{side.Berth, side.External, side.Containerd} }

// schedule is how the time of a whole run is spent that measures from now on. Building counts, up to what
// it takes with an empty Go cache.
func (o *options) schedule(now time.Time) measure.Schedule {
	// When the rest of the total begins, there is time for one round of what comes last; tail is for tidying up.
	total, rest, tail, build := 870*time.Second, 450*time.Second, 65*time.Second, 330*time.Second
	if o.quick {
		total, rest, build = 115*time.Second, 40*time.Second, 30*time.Second
	}
	var lost time.Duration
	if o.began > 0 {
		lost = min(now.Sub(time.Unix(o.began, 0)), build)
	}
	schedule := measure.Schedule{Pace: 1 - lost.Seconds()/(total-rest).Seconds(), Late: now.Add(total - rest - lost)}
	if !o.quick { // the short form prints all of its lines, some seconds later if need be
		schedule.End = now.Add(total - tail - lost)
	}
	return schedule
}

// check refuses measurements that do not exist.
func (o *options) check() error {
	known := strings.Split(names(), ", ")
	for _, name := range o.only {
		if !slices.Contains(known, name) {
			return fmt.Errorf("there is no measurement %q; there are %s", name, names())
		}
	}
	return nil
}

// wants reports whether a measurement is to be run.
func (o *options) wants(m measure.Measurement) bool {
	if len(o.only) == 0 {
		return !o.quick || m.Quick.Rounds > 0
	}
	return slices.ContainsFunc(m.Names, func(name string) bool { return slices.Contains(o.only, name) })
}

// show prints the result and writes the files that were asked for.
func (o *options) show(r *report.Result) error {
	if o.quick {
		r.WriteTargets(os.Stdout)
		r.WriteFailures(os.Stdout)
	} else {
		r.WriteText(os.Stdout)
	}
	var errs []error
	if o.json != "" {
		errs = append(errs, r.WriteJSON(o.json))
	}
	if o.svg != "" {
		errs = append(errs, os.WriteFile(o.svg, []byte(r.SVG()), 0o644))
	}
	if o.docs != "" {
		errs = append(errs, r.WriteDocs(o.docs))
	}
	if n := r.Missed(); o.strict && n > 0 {
		errs = append(errs, fmt.Errorf("%d targets are missed", n))
	}
	return errors.Join(errs...)
}

// command is how this run was started, for the record: without --began, which is make's.
func (o *options) command() string {
	words := []string{"go run ./test/bench"}
	for i, arg := range o.args {
		if arg != "--began" && (i == 0 || o.args[i-1] != "--began") {
			words = append(words, arg)
		}
	}
	return strings.Join(words, " ")
}

func names() string {
	var all []string
	for _, m := range measure.All() {
		for _, name := range m.Names {
			if !slices.Contains(all, name) {
				all = append(all, name)
			}
		}
	}
	return strings.Join(all, ", ")
}

func list(commas string) []string {
	if commas == "" {
		return nil
	}
	return strings.Split(commas, ",")
}
