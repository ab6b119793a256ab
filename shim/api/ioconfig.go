package api

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
)

const (
	// Scheme marks a task's stdio string as one the shim serves itself.
	Scheme = "berth"
	// DefaultMaxLineBytes is the payload after which a log line is split into partial ("P") entries.
	DefaultMaxLineBytes = 16384
	// MinMaxLineBytes and MaxMaxLineBytes bound IOConfig.MaxLineBytes.
	MinMaxLineBytes = 256
	MaxMaxLineBytes = 1 << 20
	// TaskAPIVersion is the version of containerd's Task API that berth-shim speaks,
	// the second argument of containerd.WithTaskAPIEndpoint.
	TaskAPIVersion = 3
)

// IOConfig says what the shim does with a container's standard streams. It travels in the stdout
// string of containerd's CreateTaskRequest, which containerd hands through untouched.
type IOConfig struct {
	// LogPath is the absolute path of the CRI log file; empty means that nothing is logged.
	LogPath string
	// LogRoot is a directory that the way to the log file must not leave, not by symbolic links
	// either: the pod's log directory. Empty means that all directories are trusted.
	LogRoot string
	// StatusFile is the absolute path at which the shim keeps the container's Record; its
	// directory must exist. Empty means that the record is kept in memory only.
	StatusFile string
	// MaxLineBytes is the longest payload of one log entry; 0 means DefaultMaxLineBytes.
	MaxLineBytes int
	// Stdin gives the container a stdin that attach can feed (CRI ContainerConfig.stdin).
	Stdin bool
	// StdinOnce closes that stdin when the first attach that fed it ends (CRI stdin_once).
	StdinOnce bool
	// TTY gives the container a terminal (CRI ContainerConfig.tty).
	TTY bool
}

// Validate reports the first field that the shim would refuse, as errdefs.ErrInvalidArgument.
func (c IOConfig) Validate() error {
	for _, f := range []struct{ name, path string }{{"log path", c.LogPath}, {"log root", c.LogRoot}, {"status file", c.StatusFile}} {
		if f.path != "" && (!filepath.IsAbs(f.path) || filepath.Clean(f.path) != f.path || strings.ContainsRune(f.path, 0)) {
			return fmt.Errorf("shim I/O: %s %q must be a clean absolute path: %w", f.name, f.path, errdefs.ErrInvalidArgument)
		}
	}
	if c.MaxLineBytes != 0 && (c.MaxLineBytes < MinMaxLineBytes || c.MaxLineBytes > MaxMaxLineBytes) {
		return fmt.Errorf("shim I/O: line limit %d is outside %d to %d bytes: %w",
			c.MaxLineBytes, MinMaxLineBytes, MaxMaxLineBytes, errdefs.ErrInvalidArgument)
	}
	if c.StdinOnce && !c.Stdin {
		return fmt.Errorf("shim I/O: stdinOnce without stdin: %w", errdefs.ErrInvalidArgument)
	}
	return nil
}

// URI is the stdout string that carries the configuration, e.g.
// berth:///var/log/pods/x/0.log?status=/run/berth/containers/id/status.json&tty=1.
func (c IOConfig) URI() string {
	q := url.Values{}
	for name, value := range map[string]string{"status": c.StatusFile, "log-root": c.LogRoot} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if c.MaxLineBytes != 0 {
		q.Set("max-line", strconv.Itoa(c.MaxLineBytes))
	}
	for name, on := range map[string]bool{"stdin": c.Stdin, "stdin-once": c.StdinOnce, "tty": c.TTY} {
		if on {
			q.Set(name, "1")
		}
	}
	u := url.URL{Scheme: Scheme, Path: c.LogPath, RawQuery: q.Encode()}
	if c.LogPath == "" {
		u.Path = "/"
	}
	return u.String()
}

// ParseIOConfig reads the stdout string of a task. ok is false when the string is not ours (a FIFO
// path, another scheme, nothing), in which case the stream is not the shim's business.
func ParseIOConfig(stdout string) (c IOConfig, ok bool, err error) {
	if !strings.HasPrefix(stdout, Scheme+"://") {
		return IOConfig{}, false, nil
	}
	u, err := url.Parse(stdout)
	if err != nil {
		return IOConfig{}, true, fmt.Errorf("shim I/O %q: %w: %w", stdout, err, errdefs.ErrInvalidArgument)
	}
	q := u.Query()
	c = IOConfig{
		LogPath:    u.Path,
		LogRoot:    q.Get("log-root"),
		StatusFile: q.Get("status"),
		Stdin:      q.Get("stdin") == "1",
		StdinOnce:  q.Get("stdin-once") == "1",
		TTY:        q.Get("tty") == "1",
	}
	if c.LogPath == "/" {
		c.LogPath = ""
	}
	if v := q.Get("max-line"); v != "" {
		if c.MaxLineBytes, err = strconv.Atoi(v); err != nil {
			return IOConfig{}, true, fmt.Errorf("shim I/O %q: line limit: %w: %w", stdout, err, errdefs.ErrInvalidArgument)
		}
	}
	return c, true, c.Validate()
}
