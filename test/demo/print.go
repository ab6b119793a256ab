package main

import (
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"
)

// printer writes what a person sees: numbered steps, below each the command that
// does the same, and what came of it.
type printer struct {
	w     io.Writer
	count int
}

func newPrinter(w io.Writer) *printer { return &printer{w: w} }

func (p *printer) intro(e *endpoint) {
	fmt.Fprintf(p.w, "Berth demo, on %s\n", e.address)
	fmt.Fprintf(p.w, "  %s %s, CRI %s\n", e.version.GetRuntimeName(), e.version.GetRuntimeVersion(), e.version.GetRuntimeApiVersion())
	if _, err := exec.LookPath("crictl"); err != nil {
		p.command(`export PATH="$PWD/bin:$PATH"`)
	}
	p.command("export CONTAINER_RUNTIME_ENDPOINT=" + e.address)
}

func (p *printer) step(title string) {
	p.count++
	fmt.Fprintf(p.w, "\n%d. %s\n", p.count, title)
}

func (p *printer) command(format string, args ...any) {
	fmt.Fprintf(p.w, "  $ "+format+"\n", args...)
}

func (p *printer) line(format string, args ...any) {
	fmt.Fprintf(p.w, "    "+format+"\n", args...)
}

// text prints the output of something, indented.
func (p *printer) text(s string) {
	for _, l := range strings.Split(strings.TrimRight(s, "\n"), "\n") {
		p.line("%s", l)
	}
}

// short is how IDs are shown; the CRI accepts unique prefixes.
func short(id string) string { return id[:min(len(id), 12)] }

func since(start time.Time) string {
	return time.Since(start).Round(time.Millisecond).String()
}

// size is a number of bytes for people.
func size(n uint64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, prefixes := float64(n)/unit, "KMGT"
	for value >= unit && len(prefixes) > 1 {
		value, prefixes = value/unit, prefixes[1:]
	}
	return fmt.Sprintf("%.1f %ciB", value, prefixes[0])
}
