package main

import (
	"context"
	"io"
	"log"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/go-logr/logr"
	"github.com/sirupsen/logrus"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"

	"github.com/berth-run/berth/config"
)

// logging is the one place where log lines leave the process: klog, slog, Go's
// log and containerd's logrus all end in the same handler, so that they share
// level, format and stream.
type logging struct {
	level slog.LevelVar
}

// setUpLogging directs everything that logs to w. journald says that w ends in systemd's journal,
// which is told the priority of each line.
func setUpLogging(c config.Log, w io.Writer, journald bool) *logging {
	l := &logging{}
	var handler slog.Handler
	if journald {
		j := &journalWriter{w: w}
		handler = journalled{newHandler(c.Format, j), j}
	} else {
		handler = newHandler(c.Format, w)
	}
	handler = levelled{Handler: handler, level: &l.level}
	logger := slog.New(handler)
	log.SetFlags(log.Lshortfile) // makes slog keep the callers of Go's log
	slog.SetDefault(logger)
	klog.SetSlogLogger(logger)
	logrus.SetOutput(io.Discard)
	logrus.StandardLogger().ReplaceHooks(logrus.LevelHooks{})
	logrus.AddHook(forwarder{handler})
	l.setLevel(c.Level)
	return l
}

func newHandler(format string, w io.Writer) slog.Handler {
	if format == "json" {
		return slog.NewJSONHandler(w, &slog.HandlerOptions{Level: slog.Level(-maxVerbosity)})
	}
	text := textlogger.NewLogger(textlogger.NewConfig(textlogger.Output(w), textlogger.Verbosity(maxVerbosity)))
	return logr.ToSlogHandler(text)
}

// maxVerbosity is the highest klog verbosity, of log.level = "trace".
const maxVerbosity = 10

// verbosities maps log levels to slog's, in which klog's V(n) is -n.
var verbosities = map[string]slog.Level{
	"error": slog.LevelError,
	"warn":  slog.LevelWarn,
	"info":  -2,
	"debug": -5,
	"trace": -maxVerbosity,
}

// setLevel changes the level while the daemon runs.
func (l *logging) setLevel(name string) {
	level := verbosities[name]
	l.level.Set(level)
	var v klog.Level
	_ = v.Set(strconv.Itoa(max(0, -int(level)))) // it is a number
	logrus.SetLevel(logrusLevels[name])
}

// logrusLevels keep containerd from formatting what would be dropped. What it
// calls information are details to Berth's users.
var logrusLevels = map[string]logrus.Level{
	"error": logrus.ErrorLevel,
	"warn":  logrus.WarnLevel,
	"info":  logrus.WarnLevel,
	"debug": logrus.InfoLevel,
	"trace": logrus.TraceLevel,
}

// levelled adds a level that can change to a handler.
type levelled struct {
	slog.Handler
	level *slog.LevelVar
}

// Enabled implements slog.Handler.
func (h levelled) Enabled(_ context.Context, level slog.Level) bool { return level >= h.level.Level() }

// WithAttrs implements slog.Handler.
func (h levelled) WithAttrs(attrs []slog.Attr) slog.Handler {
	return levelled{h.Handler.WithAttrs(attrs), h.level}
}

// WithGroup implements slog.Handler.
func (h levelled) WithGroup(name string) slog.Handler {
	return levelled{h.Handler.WithGroup(name), h.level}
}

// noFSVerity is what containerd says on every file system that cannot seal files, which
// most cannot, and which changes nothing.
const noFSVerity = "failed check for fsverity support"

// forwarder hands logrus entries to a slog handler.
type forwarder struct{ handler slog.Handler }

// Levels implements logrus.Hook.
func (forwarder) Levels() []logrus.Level { return logrus.AllLevels }

// Fire implements logrus.Hook.
func (f forwarder) Fire(e *logrus.Entry) error {
	level := slogLevel(e.Level)
	if level == slog.LevelWarn && e.Message == noFSVerity {
		level = slog.LevelDebug
	}
	r := slog.NewRecord(e.Time, level, e.Message, callerOfLogrus())
	for _, key := range slices.Sorted(maps.Keys(e.Data)) {
		r.Add(key, e.Data[key])
	}
	ctx := e.Context
	if ctx == nil {
		ctx = context.Background()
	}
	if !f.handler.Enabled(ctx, r.Level) {
		return nil
	}
	return f.handler.Handle(ctx, r)
}

func slogLevel(l logrus.Level) slog.Level {
	switch l {
	case logrus.TraceLevel:
		return -8
	case logrus.DebugLevel, logrus.InfoLevel:
		return slog.LevelDebug
	case logrus.WarnLevel:
		return slog.LevelWarn
	default:
		return slog.LevelError
	}
}

// callerOfLogrus finds the first frame above the logging library, whose depth
// differs between its functions.
func callerOfLogrus() uintptr {
	var pcs [16]uintptr
	n := runtime.Callers(3, pcs[:])
	for _, pc := range pcs[:n] {
		frame, _ := runtime.CallersFrames([]uintptr{pc}).Next()
		if !strings.Contains(frame.Function, "sirupsen/logrus") {
			return pc
		}
	}
	return 0
}
