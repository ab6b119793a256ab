// Package report keeps what was measured and shows it: as text, JSON, Markdown and a
// picture.
package report

import (
	"encoding/json"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/berth-run/berth/test/bench/stats"
)

// Metric is a figure that was measured at several sides.
type Metric struct {
	// Name is short and unique ("start.sum"); what is before the dot is the measurement.
	Name  string `json:"name"`
	Title string `json:"title"`
	// Unit of the samples: "ms", "MiB", "1/s" and so on.
	Unit string `json:"unit"`
	// Main is the statistic that ratios are of; p50 when empty.
	Main stats.Statistic `json:"main"`
	// More reports whether more is better.
	More bool `json:"more,omitempty"`
	// Samples by the name of the side.
	Samples map[string][]float64 `json:"samples"`
}

// Failure is something that did not work at a side.
type Failure struct {
	Measurement string `json:"measurement"`
	Side        string `json:"side"`
	Message     string `json:"message"`
	Count       int    `json:"count"`
}

// Result is everything that a run of the benchmark has found out.
type Result struct {
	Began    time.Time     `json:"began"`
	Took     time.Duration `json:"took"`
	Machine  Machine       `json:"machine"`
	Command  string        `json:"command"`
	Sides    []string      `json:"sides"`
	Pods     int           `json:"pods"` // idle ones, where there were some
	Metrics  []*Metric     `json:"metrics"`
	Failures []*Failure    `json:"failures,omitempty"`
	// Complete reports whether every measurement that was asked for got to its end. One at which a side
	// failed does; that is among the Failures.
	Complete bool `json:"complete"`

	mu sync.Mutex
}

// Add records a sample. The first one of a metric decides about its title and unit.
func (r *Result) Add(m Metric, side string, value float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := slices.IndexFunc(r.Metrics, func(known *Metric) bool { return known.Name == m.Name })
	if at < 0 {
		if m.Main == "" {
			m.Main = stats.P50
		}
		m.Samples = map[string][]float64{}
		at, r.Metrics = len(r.Metrics), append(r.Metrics, &m)
	}
	samples := r.Metrics[at].Samples
	samples[side] = append(samples[side], value)
}

// Fail records a failure; equal ones are counted.
func (r *Result) Fail(measurement, side string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.Failures {
		if f.Measurement == measurement && f.Side == side {
			f.Count++
			return
		}
	}
	r.Failures = append(r.Failures, &Failure{measurement, side, err.Error(), 1})
}

// Metric of that name, nil when nothing was measured.
func (r *Result) Metric(name string) *Metric {
	for _, m := range r.Metrics {
		if m.Name == name {
			return m
		}
	}
	return nil
}

// columns are the sides of the metric, those of the run first.
func (m *Metric) columns(sides []string) []string {
	var names []string
	for _, name := range sides {
		if len(m.Samples[name]) > 0 {
			names = append(names, name)
		}
	}
	var others []string
	for name := range m.Samples {
		if !slices.Contains(sides, name) {
			others = append(others, name)
		}
	}
	slices.Sort(others)
	return append(names, others...)
}

// WriteJSON writes everything, samples included.
func (r *Result) WriteJSON(path string) error {
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

// ReadJSON reads what WriteJSON has written.
func ReadJSON(path string) (*Result, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := &Result{}
	return r, json.Unmarshal(text, r)
}
