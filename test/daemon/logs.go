package daemon

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// LogLine is an entry of a container's log, in the CRI's format.
type LogLine struct {
	Time time.Time
	// Stream is "stdout" or "stderr".
	Stream string
	// Partial reports whether the line goes on in the next entry of the stream (tag P).
	Partial bool
	Text    string
}

// LogPath is where the container's log is.
func (c *Container) LogPath() string {
	return filepath.Join(c.Pod.Config.GetLogDirectory(), c.Config.GetLogPath())
}

// Log reads the container's log; a last line that is still being written is left out.
func (c *Container) Log(t testing.TB) []LogLine {
	t.Helper()
	lines, err := ReadLog(c.LogPath())
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// LogText is what the container has written to a stream, put together again.
func (c *Container) LogText(t testing.TB, stream string) string {
	t.Helper()
	return JoinLog(c.Log(t), stream)
}

// WaitLog waits until the container's log has a text, and returns what it has.
func (c *Container) WaitLog(t testing.TB, text string) string {
	t.Helper()
	var have string
	Eventually(t, fmt.Sprintf("in the log of container %s: %q", c.ID, text), func() bool {
		lines, err := ReadLog(c.LogPath())
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		have = JoinLog(lines, "stdout") + JoinLog(lines, "stderr")
		return strings.Contains(have, text)
	})
	return have
}

// ReadLog reads a log file in the CRI's format.
func ReadLog(path string) ([]LogLine, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var lines []LogLine
	for n := 1; ; n++ {
		raw, rest, whole := bytes.Cut(content, []byte("\n"))
		if !whole {
			return lines, nil
		}
		line, err := parseLine(string(raw))
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, n, err)
		}
		lines, content = append(lines, line), rest
	}
}

// parseLine reads "TIME STREAM TAG TEXT".
func parseLine(raw string) (LogLine, error) {
	fields := strings.SplitN(raw, " ", 4)
	if len(fields) < 4 {
		return LogLine{}, fmt.Errorf("%q has no time, stream, tag and text", raw)
	}
	at, err := time.Parse(time.RFC3339Nano, fields[0])
	if err != nil {
		return LogLine{}, err
	}
	if fields[1] != "stdout" && fields[1] != "stderr" {
		return LogLine{}, fmt.Errorf("%q is no stream", fields[1])
	}
	if fields[2] != "F" && fields[2] != "P" {
		return LogLine{}, fmt.Errorf("%q is no tag", fields[2])
	}
	return LogLine{Time: at, Stream: fields[1], Partial: fields[2] == "P", Text: fields[3]}, nil
}

// JoinLog is the text of one stream, with a newline after every entry that is whole.
func JoinLog(lines []LogLine, stream string) string {
	var out strings.Builder
	for _, line := range lines {
		if line.Stream != stream {
			continue
		}
		out.WriteString(line.Text)
		if !line.Partial {
			out.WriteByte('\n')
		}
	}
	return out.String()
}
