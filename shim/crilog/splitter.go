package crilog

import (
	"bytes"
	"time"
)

// timeFormat is RFC 3339 with all nine digits: same length for every entry, sorts as text, and
// parsed by everything that parses time.RFC3339Nano.
const timeFormat = "2006-01-02T15:04:05.000000000Z07:00"

// splitter cuts one stream into entries. It remembers the unfinished last line between calls.
type splitter struct {
	stream  string
	max     int
	stripCR bool
	pending []byte
}

// header is "time stream " for all entries of one batch.
func (s *splitter) header(now time.Time) []byte {
	h := make([]byte, 0, len(timeFormat)+len(s.stream)+2)
	h = now.UTC().AppendFormat(h, timeFormat)
	h = append(h, ' ')
	h = append(h, s.stream...)
	return append(h, ' ')
}

// split hands every entry that p completes to emit, in order. An entry is cut off as P only when the
// line is known to go on, so a line of exactly max bytes is one F entry.
func (s *splitter) split(p []byte, emit func(tag byte, head, tail []byte)) {
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		line := p
		if i >= 0 {
			line = p[:i]
		}
		line = s.cut(line, emit)
		if i < 0 {
			s.pending = append(s.pending, line...)
			return
		}
		s.finish(line, emit)
		p = p[i+1:]
	}
}

// cut emits P entries while pending and line together exceed the limit, and returns what is left of line.
func (s *splitter) cut(line []byte, emit func(byte, []byte, []byte)) []byte {
	for len(s.pending)+len(line) > s.max {
		n := s.max - len(s.pending)
		emit('P', s.pending, line[:n])
		s.reset()
		line = line[n:]
	}
	return line
}

// finish emits the F entry of a line whose newline has come.
func (s *splitter) finish(line []byte, emit func(byte, []byte, []byte)) {
	if s.stripCR {
		if n := len(line); n > 0 && line[n-1] == '\r' {
			line = line[:n-1]
		} else if m := len(s.pending); n == 0 && m > 0 && s.pending[m-1] == '\r' {
			s.pending = s.pending[:m-1]
		}
	}
	emit('F', s.pending, line)
	s.reset()
}

// reset forgets the unfinished line, and its buffer unless that is small.
func (s *splitter) reset() {
	if cap(s.pending) > keepBytes {
		s.pending = nil
	}
	s.pending = s.pending[:0]
}

// end emits what is left without a newline as a P entry: the line was never finished.
func (s *splitter) end(emit func(byte, []byte, []byte)) {
	if len(s.pending) > 0 {
		emit('P', s.pending, nil)
	}
	s.pending = nil
}
