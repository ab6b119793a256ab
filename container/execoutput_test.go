package container

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"github.com/berth-run/berth/internal/budget"
)

func write(t *testing.T, s *outputStream, size, step int) {
	t.Helper()
	piece := bytes.Repeat([]byte("x"), step)
	for ; size > 0; size -= step {
		n := min(size, step)
		if took, err := s.Write(piece[:n]); took != n || err != nil {
			t.Fatalf("wrote %d of %d: %v", took, n, err)
		}
	}
}

// TestOutput: what fits is kept as it was written, and says nothing.
func TestOutput(t *testing.T) {
	room := newOutputRoom(budget.ExecOutputs)
	o := newOutput(math.MaxInt32, room)
	var want strings.Builder
	for i := range 100_000 {
		line := strings.Repeat(string(rune('a'+i%26)), i%97)
		want.WriteString(line)
		_, _ = o.Stdout.Write([]byte(line))
	}
	_, _ = o.Stderr.Write([]byte("oops"))
	o.close()
	if string(o.Stdout.AppendTo(nil)) != want.String() || o.Stdout.Len() != want.Len() || string(o.Stderr.AppendTo(nil)) != "oops" {
		t.Errorf("kept %d bytes of %d, stderr %q", o.Stdout.Len(), want.Len(), o.Stderr.AppendTo(nil))
	}
	_, _ = o.Stderr.Write([]byte("late"))
	if o.Stderr.Len() != 4 {
		t.Error("a late write changed the output")
	}
	if o.Release(); room.left.Load() != budget.ExecOutputs {
		t.Errorf("%d bytes of room are left, were %d", room.left.Load(), budget.ExecOutputs)
	}
}

// TestOutputIsCutOff: by the bound of one stream, and by that of a message.
func TestOutputIsCutOff(t *testing.T) {
	room := newOutputRoom(budget.ExecOutputs)
	o := newOutput(1000, room)
	write(t, &o.Stdout, 5000, 300)
	write(t, &o.Stderr, 7, 7)
	o.close()
	if note := string(o.Stderr.AppendTo(nil)); o.Stdout.Len() != 1000 || !strings.Contains(note, "4000 bytes of stdout and 0 of stderr") {
		t.Errorf("kept %d bytes, stderr %q", o.Stdout.Len(), note)
	}
	o.Release()
	o = newOutput(budget.ExecAnswer, room)
	write(t, &o.Stdout, 12<<20, 32<<10)
	write(t, &o.Stderr, 12<<20, 32<<10)
	o.close()
	if n := o.Stdout.Len() + o.Stderr.Len(); o.Stdout.Len() != 12<<20 || n > budget.Message-1024 || n < budget.ExecAnswer {
		t.Errorf("kept %d + %d bytes", o.Stdout.Len(), o.Stderr.Len())
	}
	o.Release()
}

// TestOutputsTogether: many commands at a time hold no more than there is room for, each of them
// keeps a beginning without gaps, and all room is given back.
func TestOutputsTogether(t *testing.T) {
	const size = 4 << 20
	room := newOutputRoom(size)
	outputs := make([]*Output, 20)
	for i := range outputs {
		outputs[i] = newOutput(budget.ExecAnswer, room)
	}
	for range 64 { // by turns
		for _, o := range outputs {
			write(t, &o.Stdout, 32<<10, 32<<10)
		}
	}
	held := 0
	for _, o := range outputs {
		o.close()
		for _, p := range o.Stdout.pieces {
			held += cap(p)
		}
		if o.Stdout.Len() < budget.ExecOwn || int64(o.Stdout.Len())+o.Stdout.missed != 2<<20 {
			t.Errorf("kept %d bytes, %d are missing, of %d", o.Stdout.Len(), o.Stdout.missed, 2<<20)
		}
	}
	if most := size + len(outputs)*budget.ExecOwn; held > most {
		t.Errorf("%d bytes are held, more than %d", held, most)
	}
	for _, o := range outputs {
		o.Release()
	}
	if room.left.Load() != size {
		t.Errorf("%d bytes of room are left, were %d", room.left.Load(), size)
	}
}
