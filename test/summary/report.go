package main

import (
	"bufio"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
)

// expectation is a line of skips.txt: the tests whose package and name, with a blank between, match
// may be skipped, for the reason given.
type expectation struct {
	pattern *regexp.Regexp
	reason  string
}

// loadExpectations reads a file of lines "PACKAGE TEST-REGEXP: REASON". Empty lines
// and those that begin with # do not count.
func loadExpectations(path string) ([]expectation, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var list []expectation
	scanner := bufio.NewScanner(f)
	for n := 1; scanner.Scan(); n++ {
		line := strings.TrimSpace(scanner.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		pattern, reason, ok := strings.Cut(line, ": ")
		if !ok || strings.TrimSpace(reason) == "" {
			return nil, fmt.Errorf("%s:%d: want PACKAGE TEST-REGEXP: REASON, have %q", path, n, line)
		}
		re, err := regexp.Compile("^(?:" + pattern + ")$")
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, n, err)
		}
		list = append(list, expectation{re, reason})
	}
	return list, scanner.Err()
}

// report prints the summary and tells whether the run is good.
func (r *run) report(expected []expectation) bool {
	unexpected := r.reportSkips(expected)
	if len(r.failed) > 0 {
		fmt.Fprintf(r.out, "\nfailed:\n")
		for _, f := range r.failed {
			fmt.Fprintf(r.out, "  %s\n", f.name())
		}
	}
	fmt.Fprintf(r.out, "\n%d passed, %d failed, %d skipped (%d unexpectedly)\n",
		r.passed, len(r.failed), len(r.skipped), unexpected)
	return len(r.failed) == 0 && unexpected == 0
}

// reportSkips lists skipped tests by their reason and returns how many were not
// expected to be.
func (r *run) reportSkips(expected []expectation) int {
	byReason := map[string][]string{}
	unexpected := 0
	for _, s := range r.skipped {
		reason, ok := matchSkip(s.name(), expected)
		if message := skipMessage(s.output); message != "" {
			reason = message // what the test itself says is nearer to the truth
		}
		if !ok {
			unexpected++
			reason = "NOT EXPECTED: " + reason
		}
		byReason[reason] = append(byReason[reason], s.name())
	}
	if len(byReason) > 0 {
		fmt.Fprintf(r.out, "\nskipped:\n")
	}
	for _, reason := range slices.Sorted(maps.Keys(byReason)) {
		fmt.Fprintf(r.out, "  %s\n", reason)
		for _, name := range slices.Sorted(slices.Values(byReason[reason])) {
			fmt.Fprintf(r.out, "      %s\n", name)
		}
	}
	return unexpected
}

func matchSkip(name string, expected []expectation) (string, bool) {
	for _, e := range expected {
		if e.pattern.MatchString(name) {
			return e.reason, true
		}
	}
	return "", false
}

// place is where in the source a message comes from, as the testing package puts it.
var place = regexp.MustCompile(`^\w+\.go:\d+: `)

// skipMessage is what a test said when it skipped itself, on one line.
func skipMessage(output []string) string {
	var words []string
	for _, line := range output {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "===") && !strings.HasPrefix(line, "---") {
			words = append(words, place.ReplaceAllString(line, ""))
		}
	}
	return strings.Join(words, " ")
}
