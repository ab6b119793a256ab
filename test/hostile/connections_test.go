package hostile

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
	"github.com/berth-run/berth/test/images"
)

// TestIdleConnections: clients that open connections to the streaming and metrics ports and ask for nothing, or
// ask without end, take no more than a share of the daemon's descriptors: the CRI, new sessions and scrapes
// work, and a session that was there before goes on.
func TestIdleConnections(t *testing.T) {
	const most, idle = 400, 700
	daemon.Require(t)
	token := filepath.Join(t.TempDir(), "token")
	d := daemon.Start(t, daemon.Options{Config: fmt.Sprintf("[metrics]\ntoken_file = %q\n", token)})
	address := metricsAddress(t, d)
	d.Pull(t, images.Busybox)
	c := d.RunPod(t).Run(t)
	setDescriptors(t, d.PID(), most)

	in, out := io.Pipe()
	echo, answers := io.Pipe()
	session := make(chan error, 1)
	go func() { session <- stream(t, d, c, remotecommand.StreamOptions{Stdin: in, Stdout: answers}, "cat") }()
	echoed(t, out, echo, "before")

	streaming := streamingAddress(t, d, c)
	for i := range idle {
		for _, to := range []string{address, streaming} {
			conn, err := net.Dial("tcp", to)
			if err != nil {
				t.Fatalf("connection %d to %s: %v", i, to, err)
			}
			defer conn.Close()
			if i%2 == 0 {
				_, _ = io.WriteString(conn, "GET /met") // closed already, perhaps
			}
		}
	}
	if n := descriptors(t, d.PID()); n > most/2 {
		t.Errorf("the daemon has %d of %d descriptors in use", n, most)
	}
	d.RunPod(t).Run(t)
	bin, err := daemon.BinDir()
	if err != nil {
		t.Fatal(err)
	}
	if said, err := exec.Command(filepath.Join(bin, "crictl"), "--runtime-endpoint", "unix://"+d.Socket, "ps").CombinedOutput(); err != nil {
		t.Errorf("crictl ps: %v\n%s", err, said)
	}
	if code, body := get(t, "http://"+address+"/metrics", token); code != http.StatusOK || !strings.Contains(body, "berth_build_info") {
		t.Errorf("a scrape: %d with %d bytes", code, len(body))
	}
	if code, body := get(t, "http://"+address+"/metrics", ""); code != http.StatusUnauthorized || strings.Contains(body, "berth_") {
		t.Errorf("a scrape without the token: %d with %d bytes", code, len(body))
	}
	var said strings.Builder
	if err := stream(t, d, c, remotecommand.StreamOptions{Stdout: &said}, "echo", "new"); err != nil || said.String() != "new\n" {
		t.Errorf("a new session: %q, %v", said.String(), err)
	}
	echoed(t, out, echo, "after")
	out.Close()
	if err := <-session; err != nil {
		t.Errorf("the session from before: %v", err)
	}
}

// setDescriptors lowers how many descriptors a process may have.
func setDescriptors(t *testing.T, pid int, most uint64) {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &limit); err != nil {
		t.Fatal(err)
	}
	limit.Cur = most
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &limit, nil); err != nil {
		t.Fatal(err)
	}
}

// descriptors is how many a process has open.
func descriptors(t *testing.T, pid int) int {
	t.Helper()
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// metricsAddress is where the daemon says that its metrics are.
func metricsAddress(t *testing.T, d *daemon.Daemon) string {
	t.Helper()
	found := regexp.MustCompile(`metrics +http://([0-9.:]+)/metrics`).FindStringSubmatch(d.Log())
	if found == nil {
		t.Fatalf("no address of metrics in the log\n%s", d.Log())
	}
	return found[1]
}

// get asks with the token in a file, "" for none.
func get(t *testing.T, address, token string) (code int, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(daemon.Context(t), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		raw, err := os.ReadFile(token)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(raw)))
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return resp.StatusCode, string(raw)
}

// execURL asks for a session.
func execURL(t *testing.T, d *daemon.Daemon, c *daemon.Container, o remotecommand.StreamOptions, command ...string) *url.URL {
	t.Helper()
	resp, err := d.Runtime.Exec(daemon.Context(t), &runtimeapi.ExecRequest{
		ContainerId: c.ID, Cmd: command, Stdin: o.Stdin != nil, Stdout: true,
	})
	if err != nil {
		t.Error(err)
		return &url.URL{}
	}
	u, err := url.Parse(resp.GetUrl())
	if err != nil {
		t.Error(err)
	}
	return u
}

func streamingAddress(t *testing.T, d *daemon.Daemon, c *daemon.Container) string {
	return execURL(t, d, c, remotecommand.StreamOptions{}, "true").Host
}

// stream runs a command in a session.
func stream(t *testing.T, d *daemon.Daemon, c *daemon.Container, o remotecommand.StreamOptions, command ...string) error {
	e, err := remotecommand.NewSPDYExecutor(&rest.Config{}, http.MethodPost, execURL(t, d, c, o, command...))
	if err != nil {
		return err
	}
	return e.StreamWithContext(context.WithoutCancel(t.Context()), o)
}

// echoed sends a text to a session that sends it back.
func echoed(t *testing.T, to io.Writer, from io.Reader, text string) {
	t.Helper()
	if _, err := io.WriteString(to, text); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(from, got); err != nil || string(got) != text {
		t.Fatalf("the session says %q, %v", got, err)
	}
}
