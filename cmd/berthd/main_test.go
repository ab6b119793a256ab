package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-run/berth/config/companions"
)

// TestMain lets the test binary stand in for berthd, so that tests run the
// command line as a user does, in a process of its own.
func TestMain(m *testing.M) {
	switch os.Getenv("BERTHD_TEST_MAIN") {
	case "1":
		main()
	case "signals":
		signalsMain(time.Hour)
	case "stuck":
		signalsMain(100 * time.Millisecond)
	}
	os.Exit(m.Run())
}

func berthd(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, args...)
	cmd.Env = append(os.Environ(), "BERTHD_TEST_MAIN=1")
	return cmd
}

// result is what a finished command left.
type result struct {
	stdout, stderr string
	code           int
}

func runBerthd(t *testing.T, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := berthd(t, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

func TestWrongCommandLines(t *testing.T) {
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"confg"}, `unknown command "confg"; did you mean "config"?`},
		{[]string{"start"}, `unknown command "start"`},
		{[]string{"config", "chek"}, `unknown command "chek"; did you mean "check"?`},
		{[]string{"--rot", "x"}, "unknown flag: --rot; did you mean --root?"},
		{[]string{"version", "extra"}, `berthd version takes no argument, but got "extra"`},
		{[]string{"version", "-o", "yaml"}, `--output must be text or json, is "yaml"`},
		{[]string{"--log-level"}, "flag needs an argument: --log-level"},
		{[]string{"--config", "/nonexistent.toml"}, "/nonexistent.toml: cannot be read: no such file"},
		{[]string{"--log-level", "loud"}, `--log-level: log.level: must be one of`},
		{[]string{"--root", "/x", "--state", "/x"}, "--state: state: must not be the same directory as root"},
	} {
		r := runBerthd(t, tc.args...)
		if r.code != exitUsage || !strings.Contains(r.stderr, tc.want) || r.stdout != "" {
			t.Errorf("berthd %s: code %d, %q\nwant code %d, %q", strings.Join(tc.args, " "), r.code, r.stderr, exitUsage, tc.want)
		}
	}
}

func TestHelpNamesEveryFlag(t *testing.T) {
	r := runBerthd(t, "--help")
	if r.code != 0 {
		t.Fatalf("code %d: %s", r.code, r.stderr)
	}
	for _, want := range []string{
		"--config FILE", "--root DIR", "--state DIR", "--address SOCKET", "--metrics-address HOST:PORT",
		"--containerd-address SOCKET", "--cni-conf-dir DIR", "--cni-bin-dir DIR", "--registry-config-dir DIR",
		"--log-level LEVEL", "config ", "version ", "Exit codes",
	} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("--help does not contain %q", want)
		}
	}
}

func TestConfigCommands(t *testing.T) {
	standIns(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "c.toml")
	defaults := runBerthd(t, "config", "default")
	if defaults.code != 0 || !strings.Contains(defaults.stdout, "# Directory of everything that must survive a reboot") {
		t.Fatalf("config default: %+v", defaults)
	}
	if err := os.WriteFile(file, []byte(defaults.stdout), 0o644); err != nil {
		t.Fatal(err)
	}
	if r := runBerthd(t, "config", "check", "--config", file); r.code != 0 {
		t.Errorf("the printed defaults are not valid: %s", r.stderr)
	}
	r := runBerthd(t, "config", "show", "--config", file, "--state", filepath.Join(dir, "s"), "--cni-bin-dir", "/a", "--cni-bin-dir", "/b")
	for _, want := range []string{
		`state = "` + dir + `/s"  # --state`,
		`address = "` + dir + `/s/berth.sock"`,
		`bin_dirs = ["/a", "/b"]  # --cni-bin-dir`,
		`level = "info"  # ` + file + ":",
	} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("config show does not contain %s:\n%s%s", want, r.stdout, r.stderr)
		}
	}
	if err := os.WriteFile(file, []byte("[cni]\nadd_timeout = '-3s'\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"config", "check"}, {"config", "show"}, {"serve"}, nil} {
		r := runBerthd(t, append(args, "--config", file)...)
		if want := file + `:2: cni.add_timeout: must be positive, is "-3s"`; r.code != exitUsage || !strings.Contains(r.stderr, want) {
			t.Errorf("berthd %v: code %d, %q, want %s", args, r.code, r.stderr, want)
		}
	}
}

func TestVersion(t *testing.T) {
	r := runBerthd(t, "version", "-o", "json")
	var versions []companions.Version
	if err := json.Unmarshal([]byte(r.stdout), &versions); err != nil || r.code != 0 {
		t.Fatalf("version -o json: %v, %+v", err, r)
	}
	names := map[string]bool{}
	for _, v := range versions {
		names[v.Name] = true
		if v.Version == "" && v.Missing == "" {
			t.Errorf("%s has neither a version nor a reason why not", v.Name)
		}
	}
	for _, want := range []string{"berthd", "containerd (embedded)", "CRI API", "Go", "runc", "berth-shim", "berth-init", "CNI plugins"} {
		if !names[want] {
			t.Errorf("version does not tell about %s", want)
		}
	}
	if text := runBerthd(t, "version"); text.code != 0 || !strings.HasPrefix(text.stdout, "berthd ") {
		t.Errorf("version: %+v", text)
	}
	if broken := runBerthd(t, "version", "--config", "/nonexistent"); broken.code != 0 {
		t.Errorf("a broken configuration keeps version from answering: %+v", broken)
	}
}

// shortDir is a directory whose name leaves room for a state directory in it.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "berth")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestRelativePathsOfFlags(t *testing.T) {
	dir := shortDir(t)
	cmd := berthd(t, "config", "show", "--root", "r", "--state", "./s", "--address", "unix://x.sock")
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`root = "` + dir + `/r"`, `state = "` + dir + `/s"`, `address = "` + dir + `/x.sock"`} {
		if !strings.Contains(string(out), want) {
			t.Errorf("config show does not contain %s:\n%s", want, out)
		}
	}
}

// TestSocketFlags: what is no path of a unix socket is refused in the words of the flag.
func TestSocketFlags(t *testing.T) {
	for _, flag := range []string{"--address", "--containerd-address"} {
		for _, value := range []string{"tcp://127.0.0.1:1234", "http://x", "npipe:////./pipe/x"} {
			got := runBerthd(t, "config", "check", flag, value)
			if got.code != exitUsage || !strings.Contains(got.stderr, flag+" must be the path of a unix socket") || !strings.Contains(got.stderr, value) {
				t.Errorf("%s %s: %+v", flag, value, got)
			}
		}
	}
}

// TestFailureInFormat: with log.format = "json" the error that ends the daemon is a record as well.
func TestFailureInFormat(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("berthd serves as root only")
	}
	standIns(t)
	dir := shortDir(t)
	file := filepath.Join(dir, "c.toml")
	if err := os.WriteFile(file, []byte("[log]\nformat = 'json'\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	// A file where a directory has to be; the companions of a test binary are missing as well.
	r := runBerthd(t, "--config", file, "--root", filepath.Join(file, "root"), "--state", filepath.Join(dir, "state"))
	if r.code != exitFailure {
		t.Errorf("exit code %d, want %d", r.code, exitFailure)
	}
	var last struct{ Level, Msg, Err string }
	lines := strings.Split(strings.TrimSpace(r.stderr), "\n")
	for _, line := range lines {
		if err := json.Unmarshal([]byte(line), &last); err != nil {
			t.Errorf("%q is no record: %v", line, err)
		}
	}
	if last.Level != "ERROR" || last.Err == "" {
		t.Errorf("the last record is %+v", last)
	}
}
