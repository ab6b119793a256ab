package host

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

var inode = regexp.MustCompile(`:\[\d+\]$`)

// descriptors counts the daemon's file descriptors, sockets and pipes by kind. Sockets of
// connections come and go with clients, so only the others count.
func descriptors(_ context.Context, scope Scope, s Snapshot) error {
	if scope.PID == 0 {
		return nil
	}
	zombies(scope, s)
	dir := filepath.Join("/proc", strconv.Itoa(scope.PID), "fd")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return ignoreMissing(err)
	}
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join(dir, e.Name()))
		// The cgroup library opens the tree's root when it first needs it, and keeps it.
		if err != nil || strings.HasPrefix(target, "socket:") || target == cgroupMount {
			continue
		}
		s.add("descriptor", "%s", inode.ReplaceAllString(target, ""))
	}
	return nil
}

// transient are goroutines that belong to connections which a test holds open or let go
// a moment ago, and to what Go and containerd run now and then.
var transient = []string{
	"net/http.(*persistConn)", "net/http.(*conn).serve", "net/http.(*connReader)", "net/http.(*Server)",
	"google.golang.org/grpc/internal/transport.", "google.golang.org/grpc.(*Server)", "google.golang.org/grpc/internal/grpcsync",
	"runtime/pprof.", "plugins/gc.(*gcScheduler)", "containerd/v2/plugins/gc.(*gcScheduler)",
}

// goroutines counts the daemon's goroutines by where they were started.
func goroutines(ctx context.Context, scope Scope, s Snapshot) error {
	if scope.PID == 0 || scope.Debug == "" {
		return nil
	}
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", scope.Debug)
		},
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://debug/debug/pprof/goroutine?debug=1", nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("asking the daemon for its goroutines: %w", err)
	}
	defer resp.Body.Close()
	return parseGoroutines(resp.Body, s)
}

// outermost is by how many frames goroutines are told apart: what was started, who started it, and by what means.
const outermost = 3

var (
	groupHead = regexp.MustCompile(`^(\d+) @`)
	frame     = regexp.MustCompile(`^#\t0x[0-9a-f]+\t(\S+?)(\+0x[0-9a-f]+)?\s`)
)

// parseGoroutines reads pprof's text form: groups of "COUNT @ ADDRESSES" followed by
// frames, the innermost first. The outermost tell one kind from the other: what a goroutine that always runs
// does at the moment, a collection of garbage for example, makes no other one of it.
func parseGoroutines(r io.Reader, s Snapshot) error {
	count, frames := 0, []string(nil)
	flush := func() {
		stack := strings.Join(frames, " < ")
		if count > 0 && len(frames) > 0 && !hasAny(stack, transient) {
			s["goroutine "+strings.Join(frames[max(0, len(frames)-outermost):], " < ")] += count
		}
		count, frames = 0, nil
	}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if m := groupHead.FindStringSubmatch(lines.Text()); m != nil {
			flush()
			count, _ = strconv.Atoi(m[1])
		} else if m := frame.FindStringSubmatch(lines.Text()); m != nil {
			frames = append(frames, m[1])
		}
	}
	flush()
	return lines.Err()
}
