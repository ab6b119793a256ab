package crilog

import (
	"bytes"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// Stdout and Stderr are the stream names of the format. A terminal has only Stdout.
	Stdout = "stdout"
	Stderr = "stderr"

	// flushBytes is how much is formatted before it is written.
	flushBytes = 128 << 10
	// bufBytes is the capacity of a buffer: that, and an entry of usual length.
	bufBytes = flushBytes + 20<<10
	// keepBytes is the largest buffer for an unfinished line that an idle stream keeps.
	keepBytes = 4 << 10
)

// Stream is one output stream of a container. It is an io.Writer that takes everything it is given;
// what could not be logged shows in the File's Stats.
type Stream struct {
	file *File
	sp   splitter
}

// Stream makes a stream with the given name (Stdout, Stderr). maxLine is the longest payload of an
// entry. stripCR drops the carriage return that a terminal puts before each newline.
func (l *File) Stream(name string, maxLine int, stripCR bool) *Stream {
	return &Stream{file: l, sp: splitter{stream: name, max: max(maxLine, 1), stripCR: stripCR}}
}

// Write logs p. All entries that p completes get one timestamp and as few write(2)s as possible.
func (s *Stream) Write(p []byte) (int, error) {
	s.log(func(emit func(byte, []byte, []byte)) { s.sp.split(p, emit) })
	return len(p), nil
}

// End logs an unfinished last line.
func (s *Stream) End() { s.log(s.sp.end) }

func (s *Stream) log(cut func(emit func(byte, []byte, []byte))) {
	now := time.Now()
	header := s.sp.header(now)
	l := s.file
	l.mu.Lock()
	defer l.mu.Unlock()
	buf := l.bufs.Get().(*[bufBytes]byte)
	l.buf = buf[:0]
	defer func() { l.buf = nil; l.bufs.Put(buf) }()
	var entries, size uint64
	cut(func(tag byte, head, tail []byte) {
		entries++
		size += uint64(len(head) + len(tail))
		if tag == 'F' {
			size++
		}
		l.buf = append(l.buf, header...)
		l.buf = append(l.buf, tag, ' ')
		l.buf = append(l.buf, head...)
		l.buf = append(l.buf, tail...)
		l.buf = append(l.buf, '\n')
		if len(l.buf) >= flushBytes {
			l.account(now, entries, size)
			entries, size = 0, 0
		}
	})
	if len(l.buf) > 0 {
		l.account(now, entries, size)
	}
}

// account writes the buffer, which holds the given number of entries and container bytes, and counts.
func (l *File) account(now time.Time, entries, size uint64) {
	lost, err := l.flush(now)
	l.unreported.Entries += lost.Entries
	l.unreported.Bytes += lost.Bytes
	l.statsMu.Lock()
	defer l.statsMu.Unlock()
	l.stats.Entries += entries - lost.Entries
	l.stats.Bytes += size - lost.Bytes
	l.stats.Lost.Entries += lost.Entries
	l.stats.Lost.Bytes += lost.Bytes
	l.stats.Err = err
}

// flush writes the note about an earlier loss, if any, and the buffer, and empties it. It returns
// what of the buffer was lost and why.
func (l *File) flush(now time.Time) (Loss, error) {
	out := l.buf
	defer func() { l.buf = l.buf[:0] }()
	if l.closed {
		return loss(out), os.ErrClosed
	}
	if l.unreported != (Loss{}) || l.torn {
		if err := l.writeNote(now); err != nil {
			l.cause = err
			return loss(out), err
		}
	}
	n, err := l.write(out)
	if err != nil {
		l.cause = err
	}
	return loss(out[n:]), err
}

// writeNote reports what was lost since the last note.
func (l *File) writeNote(now time.Time) error {
	var note []byte
	if l.torn {
		note = append(note, '\n')
	}
	if l.unreported != (Loss{}) {
		note = now.UTC().AppendFormat(note, timeFormat)
		note = fmt.Appendf(note, " %s F berth: %d log entries (%d bytes) of this container were lost here: %v\n",
			Stderr, l.unreported.Entries, l.unreported.Bytes, l.cause)
	}
	if _, err := l.write(note); err != nil {
		return err
	}
	l.torn, l.unreported, l.cause = false, Loss{}, nil
	return nil
}

// write puts whole entries into the file. When the disk takes only a part, it cuts off the
// unfinished entry and returns how many bytes of whole entries are in the file.
func (l *File) write(out []byte) (int, error) {
	n, err := l.f.Write(out)
	if err == nil {
		return n, nil
	}
	whole := bytes.LastIndexByte(out[:n], '\n') + 1
	if whole < n && l.cutTail(int64(n-whole)) != nil {
		l.torn = true
	}
	return whole, err
}

// cutTail removes the last n bytes of the file, which this File has just written.
func (l *File) cutTail(n int64) error {
	var st unix.Stat_t
	fd := int(l.f.Fd())
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Size < n {
		return unix.EINVAL
	}
	return unix.Ftruncate(fd, st.Size-n)
}

// loss counts the entries in formatted output, and their payload with newlines.
func loss(out []byte) Loss {
	var l Loss
	for len(out) > 0 {
		line := out
		if i := bytes.IndexByte(out, '\n'); i >= 0 {
			line, out = out[:i], out[i+1:]
		} else {
			out = nil
		}
		l.Entries++
		// time, stream and tag end with a space each
		f := bytes.SplitN(line, []byte{' '}, 4)
		if len(f) == 4 {
			l.Bytes += uint64(len(f[3]))
			if f[2][0] == 'F' {
				l.Bytes++
			}
		}
	}
	return l
}
