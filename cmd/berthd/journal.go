package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"sync"

	"github.com/coreos/go-systemd/v22/journal"
)

// Priorities of the journal, see syslog(3).
const (
	priorityError, priorityWarning = 3, 4
	priorityInfo, priorityDebug    = 6, 7
)

func priority(level slog.Level) int {
	switch {
	case level >= slog.LevelError:
		return priorityError
	case level >= slog.LevelWarn:
		return priorityWarning
	case level >= verbosities["info"]:
		return priorityInfo
	}
	return priorityDebug
}

// journalWriter puts the priority before each line, as sd-daemon(3) describes it for what is written
// to stderr: journald takes it off, and `journalctl -p err` finds errors.
type journalWriter struct {
	w io.Writer

	mu       sync.Mutex // held while a record is written
	priority int
}

// Write implements io.Writer; journalled calls it with the mutex held.
func (j *journalWriter) Write(p []byte) (int, error) {
	var b bytes.Buffer
	for line := range bytes.Lines(p) {
		b.WriteByte('<')
		b.WriteString(strconv.Itoa(j.priority))
		b.WriteByte('>')
		b.Write(line)
	}
	if _, err := j.w.Write(b.Bytes()); err != nil {
		return 0, err
	}
	return len(p), nil
}

// inJournal reports whether stderr ends in systemd's journal.
func inJournal() bool {
	yes, err := journal.StderrIsJournalStream()
	return err == nil && yes // else JOURNAL_STREAM is somebody else's
}

// complain writes an error that ends the process, with its priority where journald takes it.
func complain(w io.Writer, journald bool, text string) {
	if journald {
		w = &journalWriter{w: w, priority: priorityError}
	}
	fmt.Fprintln(w, text)
}

// journalled tells the writer of each record's priority. The handler below it has to write to it.
type journalled struct {
	slog.Handler
	to *journalWriter
}

// Handle implements slog.Handler.
func (h journalled) Handle(ctx context.Context, r slog.Record) error {
	h.to.mu.Lock()
	defer h.to.mu.Unlock()
	h.to.priority = priority(r.Level)
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h journalled) WithAttrs(attrs []slog.Attr) slog.Handler {
	return journalled{h.Handler.WithAttrs(attrs), h.to}
}

// WithGroup implements slog.Handler.
func (h journalled) WithGroup(name string) slog.Handler {
	return journalled{h.Handler.WithGroup(name), h.to}
}
