// Package stats has the few statistics that a benchmark needs: quantiles, and the
// confidence interval of a ratio of two of them by bootstrap.
package stats

import (
	"math"
	"math/rand/v2"
	"slices"
)

// Quantile is the q-quantile (0 to 1) of the values, interpolated between neighbours;
// NaN without values.
func Quantile(values []float64, q float64) float64 {
	return sortedQuantile(slices.Sorted(slices.Values(values)), q)
}

func sortedQuantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	at := q * float64(len(sorted)-1)
	low := int(math.Floor(at))
	high := min(low+1, len(sorted)-1)
	return sorted[low] + (at-float64(low))*(sorted[high]-sorted[low])
}

// Mean is the arithmetic mean; NaN without values.
func Mean(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

// Statistic sums values up in one figure.
type Statistic string

// The statistics that tables show and targets are about.
const (
	P50     Statistic = "p50"
	P90     Statistic = "p90"
	P99     Statistic = "p99"
	Average Statistic = "mean"
)

// Of the values; they need not be sorted.
func (s Statistic) Of(values []float64) float64 {
	switch s {
	case P90:
		return Quantile(values, 0.90)
	case P99:
		return Quantile(values, 0.99)
	case Average:
		return Mean(values)
	default:
		return Quantile(values, 0.50)
	}
}

// Ratio is one sample's statistic over another's, with the interval that holds it in 95
// of 100 cases.
type Ratio struct {
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

// resamples is how often a sample is drawn again. More change the second digit of an
// interval, which nobody reads.
const resamples = 2000

// Compare returns s of a over s of b. The interval is the percentile bootstrap, both
// samples drawn independently; equal samples give an equal interval. With fewer than two
// values on either side there is no interval, and it is [Value, Value].
func Compare(s Statistic, a, b []float64) Ratio {
	r := Ratio{Value: s.Of(a) / s.Of(b)}
	r.Low, r.High = r.Value, r.Value
	if len(a) < 2 || len(b) < 2 {
		return r
	}
	rng := rand.New(rand.NewPCG(uint64(len(a)), uint64(len(b))))
	ratios := make([]float64, 0, resamples)
	drawnA, drawnB := make([]float64, len(a)), make([]float64, len(b))
	for range resamples {
		draw(rng, drawnA, a)
		draw(rng, drawnB, b)
		if ratio := s.Of(drawnA) / s.Of(drawnB); !math.IsNaN(ratio) && !math.IsInf(ratio, 0) {
			ratios = append(ratios, ratio)
		}
	}
	if len(ratios) > 0 {
		slices.Sort(ratios)
		r.Low, r.High = sortedQuantile(ratios, 0.025), sortedQuantile(ratios, 0.975)
	}
	return r
}

func draw(rng *rand.Rand, into, from []float64) {
	for n := range into {
		into[n] = from[rng.IntN(len(from))]
	}
}
