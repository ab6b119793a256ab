package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// table has a column a runtime.
type table struct {
	rows    []string
	columns []*column
}

type column struct {
	t     *table
	name  string
	cells map[string]string
}

func (t *table) column(name string) *column {
	c := &column{t: t, name: name, cells: map[string]string{}}
	t.columns = append(t.columns, c)
	return c
}

func (c *column) set(row, value string) {
	if !slices.Contains(c.t.rows, row) {
		c.t.rows = append(c.t.rows, row)
	}
	c.cells[row] = value
}

// print writes Markdown.
func (t *table) print(w io.Writer) {
	fmt.Fprint(w, "| |")
	for _, c := range t.columns {
		fmt.Fprintf(w, " %s |", c.name)
	}
	fmt.Fprintf(w, "\n|---|%s\n", strings.Repeat("---:|", len(t.columns)))
	for _, row := range t.rows {
		fmt.Fprintf(w, "| %s |", row)
		for _, c := range t.columns {
			cell := c.cells[row]
			if cell == "" {
				cell = "not offered"
			}
			fmt.Fprintf(w, " %s |", cell)
		}
		fmt.Fprintln(w)
	}
}

// latencies of calls.
type latencies []time.Duration

func (l latencies) quantile(q float64) time.Duration {
	return l[min(len(l)-1, int(q*float64(len(l))))]
}

// String needs them to be sorted.
func (l latencies) String() string {
	return fmt.Sprintf("p50 %s, p99 %s", round(l.quantile(.5)), round(l.quantile(.99)))
}

func round(d time.Duration) string {
	if d < 10*time.Second {
		return fmt.Sprintf("%.0f ms", float64(d.Microseconds())/1000)
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}
