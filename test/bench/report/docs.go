package report

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/berth-run/berth/test/bench/stats"
)

// The places in docs/performance.md between which the program writes.
const (
	beginMark = "<!-- bench: begin -->"
	endMark   = "<!-- bench: end -->"
)

// WriteDocs puts the tables into performance.md of the directory, between the marks, and
// the picture beside it.
func (r *Result) WriteDocs(dir string) error {
	if err := os.WriteFile(filepath.Join(dir, "performance.svg"), []byte(r.SVG()), 0o644); err != nil {
		return err
	}
	path := filepath.Join(dir, "performance.md")
	page, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, begun := bytes.Cut(page, []byte(beginMark))
	_, after, ended := bytes.Cut(rest, []byte(endMark))
	if !begun || !ended {
		return fmt.Errorf("%s lacks the lines %q and %q", path, beginMark, endMark)
	}
	page = slices.Concat(before, []byte(beginMark+"\n"+r.Markdown()+endMark), after)
	return os.WriteFile(path, page, 0o644)
}

// Markdown is the tables: targets first, then every metric.
func (r *Result) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nMeasured on %s: %s. The run took %s", r.Began.Format("2006-01-02"), r.Machine.Summary(), r.Took.Round(time.Second))
	fmt.Fprintf(&b, " (`%s`).\n\n%s\n\n", r.Command, versions(r.Machine.Versions))
	b.WriteString("![ratios to containerd's CRI plugin](performance.svg)\n\n### Targets\n\n")
	judged := r.judged()
	fmt.Fprintf(&b, "| | target | %s |\n| --- | --- |%s\n", strings.Join(judged, " | "), strings.Repeat(" --- |", len(judged)))
	r.markdownTargets(&b, judged)
	b.WriteString("\n### Everything that was measured\n\nRatios are to containerd's CRI plugin, with the 95 % interval.\n\n")
	b.WriteString("| | unit | runtime | p50 | p90 | p99 | mean | n | ratio |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for _, m := range r.Metrics {
		r.markdownMetric(&b, m)
	}
	for _, f := range r.Failures {
		fmt.Fprintf(&b, "\nFailed %d × in %s at %s: %s\n", f.Count, f.Measurement, f.Side, f.Message)
	}
	b.WriteString("\n")
	return b.String()
}

func (r *Result) markdownTargets(b *strings.Builder, judged []string) {
	all := r.verdicts(judged...)
	for _, t := range Targets() {
		cells := make([]string, len(judged))
		title := ""
		for _, v := range all {
			if v.Metric == t.Metric && v.Stat == t.Stat && v.Against == t.Against {
				title = v.label()
				cells[slices.Index(judged, v.Side)] = fmt.Sprintf("%s %s %s", ratio(v.Ratio.Value), interval(v.Ratio), v.Word())
			}
		}
		if title != "" {
			fmt.Fprintf(b, "| %s | %s %.2f | %s |\n", title, t.sign(), t.Bound, strings.Join(cells, " | "))
		}
	}
}

func (r *Result) markdownMetric(b *strings.Builder, m *Metric) {
	title, unit := m.Title, m.Unit
	for _, side := range m.columns(r.Sides) {
		s := m.Samples[side]
		cell := ""
		if peer := m.Samples[Peer]; side != Peer && len(peer) > 0 {
			c := stats.Compare(m.Main, s, peer)
			cell = ratio(c.Value) + " " + interval(c)
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %s | %d | %s |\n", title, unit, side, figure(stats.P50.Of(s)),
			figure(stats.P90.Of(s)), figure(stats.P99.Of(s)), figure(stats.Average.Of(s)), len(s), cell)
		title, unit = "", "" // once
	}
}

func versions(all map[string]string) string {
	var parts []string
	for name, text := range all {
		parts = append(parts, name+": "+text)
	}
	slices.Sort(parts)
	return strings.Join(parts, "; ") + "."
}
