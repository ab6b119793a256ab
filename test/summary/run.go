package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// modulePath is left out of package names when printing.
const modulePath = "github.com/berth-run/berth/"

// event is one line of "go test -json" (see "go doc test2json").
type event struct {
	Action     string
	Package    string
	ImportPath string
	Test       string
	Output     string
	Elapsed    float64
}

// outcome is a test, or with an empty test a package, that was skipped or failed.
type outcome struct {
	pkg, test string
	output    []string
}

// name is what skips.txt is matched against.
func (o outcome) name() string {
	return strings.TrimPrefix(o.pkg, modulePath) + " " + o.test
}

// run collects what the events say.
type run struct {
	out     io.Writer
	output  map[string][]string // of tests in flight, by package and test
	counts  map[string]int      // tests that passed, by package
	failed  []outcome
	skipped []outcome
	passed  int
}

func newRun(out io.Writer) *run {
	return &run{out: out, output: map[string][]string{}, counts: map[string]int{}}
}

// read consumes events until the end of r. Lines that are no events, such as a
// complaint of the go command, are passed on.
func (r *run) read(in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			var e event
			if json.Unmarshal([]byte(line), &e) != nil || e.Action == "" {
				fmt.Fprint(r.out, line)
			} else {
				r.add(e)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading test events: %w", err)
		}
	}
}

func (r *run) add(e event) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "output":
		r.output[key] = append(r.output[key], e.Output)
		return
	case "build-output":
		fmt.Fprint(r.out, e.Output)
		return
	case "pass", "fail", "skip":
	default:
		return
	}
	o := outcome{pkg: e.Package, test: e.Test, output: r.output[key]}
	delete(r.output, key)
	if e.Test == "" {
		r.addPackage(e, o)
		return
	}
	switch e.Action {
	case "pass":
		r.passed++
		r.counts[e.Package]++
	case "skip":
		r.skipped = append(r.skipped, o)
	case "fail":
		r.failed = append(r.failed, o)
		fmt.Fprintf(r.out, "FAIL %s\n%s", o.name(), strings.Join(o.output, ""))
	}
}

// addPackage prints the line of a finished package. The output of one that failed
// without a failing test (a panic, a timeout, a race in TestMain) is shown.
func (r *run) addPackage(e event, o outcome) {
	name := strings.TrimPrefix(e.Package, modulePath)
	switch e.Action {
	case "pass":
		fmt.Fprintf(r.out, "ok   %-40s %4d tests %7.1fs\n", name, r.counts[e.Package], e.Elapsed)
	case "fail":
		fmt.Fprintf(r.out, "FAIL %s\n", name)
		if !r.anyFailed(e.Package) {
			fmt.Fprint(r.out, strings.Join(o.output, ""))
			r.unfinished(e.Package)
		}
		r.failed = append(r.failed, o)
	}
}

func (r *run) anyFailed(pkg string) bool {
	for _, f := range r.failed {
		if f.pkg == pkg {
			return true
		}
	}
	return false
}

// unfinished prints what the tests of a package said that never came to an end.
func (r *run) unfinished(pkg string) {
	for key, output := range r.output {
		if strings.HasPrefix(key, pkg+" ") {
			fmt.Fprint(r.out, strings.Join(output, ""))
			delete(r.output, key)
		}
	}
}
