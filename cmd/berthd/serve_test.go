package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"

	"github.com/berth-run/berth/config"
)

// signalsMain is the process that TestSignals sends signals to: a daemon that
// never manages to stop.
func signalsMain(bound time.Duration) {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, unix.SIGTERM, unix.SIGHUP)
	fmt.Println("ready")
	handleSignals(signals, func() { fmt.Println("stop") }, bound, func() { fmt.Println("reload") }, "text")
}

func TestSignals(t *testing.T) {
	cmd := berthd(t)
	cmd.Env = append(cmd.Env, "BERTHD_TEST_MAIN=signals")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	expect := func(want string) {
		t.Helper()
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("got %q, want %q", lines.Text(), want)
		}
	}
	expect("ready")
	for _, step := range []struct {
		signal unix.Signal
		want   string
	}{{unix.SIGHUP, "reload"}, {unix.SIGTERM, "stop"}, {unix.SIGHUP, "reload"}} {
		if err := cmd.Process.Signal(step.signal); err != nil {
			t.Fatal(err)
		}
		expect(step.want)
	}
	if err := cmd.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 128+int(unix.SIGTERM) {
		t.Errorf("exit code %d after the second signal", code)
	}
}

func TestStopIsBounded(t *testing.T) {
	cmd := berthd(t)
	cmd.Env = append(cmd.Env, "BERTHD_TEST_MAIN=stuck")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	bufio.NewScanner(out).Scan()
	if err := cmd.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if cmd.ProcessState.ExitCode() != exitFailure || !strings.Contains(stderr.String(), "did not stop within 100ms") ||
		!strings.Contains(stderr.String(), "goroutine") {
		t.Errorf("code %d, %s", cmd.ProcessState.ExitCode(), stderr.String())
	}
}

func TestReload(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.toml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("")
	o := &options{}
	o.addTo(pflag.NewFlagSet("berthd", pflag.ContinueOnError))
	o.config = file
	current, err := o.load()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	r := &reloader{options: o, logs: setUpLogging(config.Log{Level: "info", Format: "text"}, &b, false), current: current}
	defer klog.ClearLogger()

	write("[log]\nlevel = 'debug'\n[pod]\nshm_size = 8192\n")
	r.reload()
	if !klog.V(4).Enabled() || r.current.Log.Level != "debug" {
		t.Error("the new log level is not in effect")
	}
	if !strings.Contains(b.String(), "pod.shm_size") {
		t.Errorf("pod.shm_size is not said to wait for a restart:\n%s", b.String())
	}
	write("[log]\nlevel = 'loud'\n")
	r.reload()
	if !klog.V(4).Enabled() || !strings.Contains(b.String(), file+":2") {
		t.Errorf("a broken file should change nothing and be reported:\n%s", b.String())
	}
}
