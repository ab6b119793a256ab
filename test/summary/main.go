// Command summary reads the output of "go test -json" on its standard input and
// prints what a person wants to know: a line per package, the output of what
// failed, and at the end everything that was skipped, with the reason.
//
// It exits with 1 when a test failed, and also when one was skipped that the
// file named by -skips does not expect: a test that silently stops running is
// worse than one that fails.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	skipsFile := flag.String("skips", "", "file with the skips that are expected")
	flag.Parse()
	var expected []expectation
	if *skipsFile != "" {
		var err error
		if expected, err = loadExpectations(*skipsFile); err != nil {
			fmt.Fprintln(os.Stderr, "summary:", err)
			os.Exit(2)
		}
	}
	run := newRun(os.Stdout)
	if err := run.read(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "summary:", err)
		os.Exit(2)
	}
	if !run.report(expected) {
		os.Exit(1)
	}
}
