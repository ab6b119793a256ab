package stats

import (
	"math"
	"testing"
)

func TestQuantile(t *testing.T) {
	values := []float64{5, 1, 3, 2, 4}
	for q, want := range map[float64]float64{0: 1, 0.5: 3, 1: 5, 0.25: 2, 0.9: 4.6} {
		if got := Quantile(values, q); math.Abs(got-want) > 1e-9 {
			t.Errorf("quantile %v: %v, want %v", q, got, want)
		}
	}
	if !math.IsNaN(Quantile(nil, 0.5)) || !math.IsNaN(Mean(nil)) {
		t.Error("there is a figure of nothing")
	}
	if values[0] != 5 {
		t.Error("the values were sorted in place")
	}
}

func TestCompare(t *testing.T) {
	var a, b []float64
	for n := range 200 {
		a = append(a, 10+float64(n%7))
		b = append(b, 20+2*float64(n%7))
	}
	r := Compare(P50, a, b)
	if r.Value != 0.5 {
		t.Errorf("ratio %v, want 0.5", r.Value)
	}
	if r.Low > 0.5 || r.High < 0.5 || r.High-r.Low > 0.2 {
		t.Errorf("interval [%v, %v]", r.Low, r.High)
	}
	if again := Compare(P50, a, b); again != r {
		t.Error("the same samples give another interval")
	}
	if one := Compare(P99, []float64{1}, []float64{4}); one != (Ratio{0.25, 0.25, 0.25}) {
		t.Errorf("single values: %+v", one)
	}
}
