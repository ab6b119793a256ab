package metrics

import (
	"bytes"
	"io"
	"math"
	"strconv"
	"strings"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// flushSize is how much of an exposition is in memory at a time.
const flushSize = 32 << 10

// encoder writes families in one exposition format. Prometheus' own encoders take some
// five times as long for each of the tens of thousands of series a full node has.
type encoder interface {
	// prepare keeps the base labels of an object in the format's form.
	prepare(labels []string) []byte
	// begin, value and end write one family, value by value.
	begin(f *family)
	value(f *family, base []byte, v float64, labels []string)
	end(f *family)
	// buffered is what was written since the last flush.
	buffered() *bytes.Buffer
}

// encode writes all families of a pass. A family without a value is left out.
func (p *pass) encode(w io.Writer, families []family, e encoder) error {
	objects := p.objects()
	bases := make([][]byte, len(objects))
	for i := range objects {
		bases[i] = e.prepare(objects[i].labels)
	}
	for i := range families {
		f, begun := &families[i], false
		if f.criOnly {
			continue
		}
		var base []byte
		out := func(v float64, labels ...string) {
			if !begun {
				e.begin(f)
				begun = true
			}
			e.value(f, base, v, labels)
		}
		for n := range objects {
			base = bases[n]
			f.emit(&objects[n], out)
		}
		if begun {
			e.end(f)
		}
		if b := e.buffered(); b.Len() >= flushSize || i == len(families)-1 {
			if _, err := b.WriteTo(w); err != nil {
				return err
			}
		}
	}
	return nil
}

// text writes Prometheus' text format, or OpenMetrics' where open is set.
type text struct {
	bytes.Buffer
	open    bool
	scratch []byte
}

func (t *text) buffered() *bytes.Buffer { return &t.Buffer }

// prepare makes {container="a",id="b" without the closing brace.
func (t *text) prepare(labels []string) []byte {
	var b []byte
	for i, name := range baseLabels() {
		b = label(append(b, "{,"[min(i, 1)]), name, labels[i])
	}
	return b
}

func (t *text) begin(f *family) {
	name, kind := f.name, "gauge"
	if f.kind == runtimeapi.MetricType_COUNTER {
		kind = "counter"
		if t.open {
			name = strings.TrimSuffix(name, "_total")
		}
	}
	t.WriteString("# HELP " + name + " " + f.help + "\n# TYPE " + name + " " + kind + "\n")
}

func (t *text) value(f *family, base []byte, v float64, labels []string) {
	b := append(append(t.scratch[:0], f.name...), base...)
	for i, name := range f.labels {
		b = label(append(b, ','), name, labels[i])
	}
	b = append(number64(append(b, "} "...), v), '\n')
	t.Write(b)
	t.scratch = b
}

func (t *text) end(*family) {}

// label appends name="value", escaped.
func label(b []byte, name, value string) []byte {
	b = append(append(b, name...), '=', '"')
	if !strings.ContainsAny(value, "\\\"\n") {
		return append(append(b, value...), '"')
	}
	for i := range len(value) {
		switch c := value[i]; c {
		case '\\', '"':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

// number64 appends a value in as many digits as it needs.
func number64(b []byte, v float64) []byte {
	if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
		return strconv.AppendInt(b, int64(v), 10)
	}
	return strconv.AppendFloat(b, v, 'g', -1, 64)
}
