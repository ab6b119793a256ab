package report

import (
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/berth-run/berth/test/bench/stats"
)

// WriteText shows every metric with its statistics, ratios and their 95 % intervals, and
// then the targets.
func (r *Result) WriteText(w io.Writer) {
	fmt.Fprintf(w, "%s, %s\n", r.Machine.Summary(), r.Began.Format(time.DateTime))
	before := ""
	for _, m := range r.Metrics {
		if group, _, _ := strings.Cut(m.Name, "."); group != before {
			before = group
			fmt.Fprintf(w, "\n%s\n", group)
		}
		r.writeMetric(w, m)
	}
	fmt.Fprintln(w)
	r.WriteTargets(w)
	r.WriteFailures(w)
}

func (r *Result) writeMetric(w io.Writer, m *Metric) {
	fmt.Fprintf(w, "  %s (%s)\n", m.Title, m.Unit)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "    \tp50\tp90\tp99\tmean\tn\tratio of %s\t95 %%\t\n", m.Main)
	for _, side := range m.columns(r.Sides) {
		samples := m.Samples[side]
		fmt.Fprintf(t, "    %s\t%s\t%s\t%s\t%s\t%d\t", side, figure(stats.P50.Of(samples)), figure(stats.P90.Of(samples)),
			figure(stats.P99.Of(samples)), figure(stats.Average.Of(samples)), len(samples))
		if peer := m.Samples[Peer]; side != Peer && len(peer) > 0 {
			ratio := stats.Compare(m.Main, samples, peer)
			fmt.Fprintf(t, "%.2f\t%s\t\n", ratio.Value, interval(ratio))
		} else {
			fmt.Fprint(t, "\t\t\n")
		}
	}
	t.Flush()
}

// WriteTargets prints a line for each target that was measured.
func (r *Result) WriteTargets(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	n, missed := 0, 0
	for _, side := range r.judged() {
		for _, v := range r.verdicts(side) {
			if side == Subject {
				n++
				if !v.Met() {
					missed++
				}
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s %.2f\t%s\n", v.Word(), side, v.label(), ratio(v.Ratio.Value), v.sign(), v.Bound, interval(v.Ratio))
		}
	}
	t.Flush()
	if n > 0 {
		fmt.Fprintf(w, "%d of %d targets of %s are met (ratios to %s unless they say otherwise)\n", n-missed, n, Subject, Peer)
	}
}

// Missed is how many targets Berth misses, those included for which nothing was measured at Berth but
// something at what it is compared with.
func (r *Result) Missed() int {
	n := 0
	for _, t := range Targets() {
		if m := r.Metric(t.Metric); m != nil && len(m.Samples[t.Against]) > 0 && len(m.Samples[Subject]) == 0 {
			n++
		}
	}
	for _, v := range r.verdicts(Subject) {
		if !v.Met() {
			n++
		}
	}
	return n
}

// WriteFailures prints what did not work, if anything.
func (r *Result) WriteFailures(w io.Writer) {
	for _, f := range r.Failures {
		fmt.Fprintf(w, "FAILED %d × in %s at %s: %s\n", f.Count, f.Measurement, f.Side, f.Message)
	}
}

// interval is shown where there is more than one value.
func interval(r stats.Ratio) string {
	if r.Low == r.High {
		return "(once)"
	}
	return fmt.Sprintf("[%s, %s]", ratio(r.Low), ratio(r.High))
}

// ratio has two digits after the point, and three where that were nothing.
func ratio(v float64) string {
	if math.Abs(v) < 0.1 {
		return fmt.Sprintf("%.3f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// figure has three digits that mean something.
func figure(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v):
		return "–"
	case a >= 100:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	case a >= 1:
		return fmt.Sprintf("%.2f", v)
	default:
		return fmt.Sprintf("%.3f", v)
	}
}
