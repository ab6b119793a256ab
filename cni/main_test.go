package cni

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/berth-run/berth/internal/netns"
)

// hostNetNS marks the process that TestMain started.
const hostNetNS = "BERTH_CNI_TEST_NETNS"

// TestMain runs the tests in a network namespace of their own, which plays the host: bridges, rules
// and forwarding settings of the real host stay as they are, and what a test leaves is seen.
func TestMain(m *testing.M) {
	isFuzz := strings.Contains(strings.Join(os.Args, " "), "-test.fuzz")
	if os.Geteuid() != 0 || os.Getenv(hostNetNS) != "" || isFuzz {
		os.Exit(m.Run())
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), hostNetNS+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	var exit *exec.ExitError
	if err := cmd.Run(); errors.As(err, &exit) {
		os.Exit(exit.ExitCode())
	} else if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// host is a machine with Berth's directories, checked for leftovers at the end of the test.
type host struct {
	t       *testing.T
	dir     string
	confDir string
	opts    Options
	pods    int
}

// pluginDir has the real plugins.
func pluginDir(t *testing.T) string {
	t.Helper()
	for _, dir := range []string{os.Getenv("BERTH_CNI_BIN_DIR"), "../bin/cni"} {
		if _, err := os.Stat(filepath.Join(dir, "bridge")); dir != "" && err == nil {
			abs, err := filepath.Abs(dir)
			if err != nil {
				t.Fatal(err)
			}
			return abs
		}
	}
	t.Skip("needs the CNI plugins: make build puts them into bin/cni")
	return ""
}

func newHost(t *testing.T) *host {
	t.Helper()
	if os.Getenv(hostNetNS) == "" {
		t.Skip("needs root: makes network namespaces and bridges")
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	h := &host{t: t, dir: dir, confDir: filepath.Join(dir, "etc/cni/net.d")}
	fakes := filepath.Join(dir, "fakes")
	if err := os.MkdirAll(fakes, 0o755); err != nil {
		t.Fatal(err)
	}
	h.opts = Options{
		ConfDir: h.confDir, BinDirs: []string{pluginDir(t), fakes}, CacheDir: filepath.Join(dir, "cache"),
		Default: DefaultNetwork{Enabled: true, DataDir: filepath.Join(dir, "ipam")},
	}
	t.Cleanup(h.checkClean)
	return h
}

// manager makes one with the host's options; calling it again is a restarted daemon.
func (h *host) manager() *Manager {
	h.t.Helper()
	m, err := New(h.opts)
	if err != nil {
		h.t.Fatal(err)
	}
	return m
}

// run makes a manager and runs it until the end of the test.
func (h *host) run() *Manager {
	h.t.Helper()
	m := h.manager()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = m.Run(ctx) }()
	h.t.Cleanup(func() { cancel(); <-done })
	return m
}

// pod is a new pod with a network namespace.
func (h *host) pod() Attachment {
	h.t.Helper()
	h.pods++
	name := fmt.Sprintf("pod%d", h.pods)
	dir := filepath.Join(h.dir, "ns", name)
	if err := netns.Create(context.Background(), netns.Spec{Dir: dir, Net: true}); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		if err := netns.Remove(context.Background(), dir); err != nil {
			h.t.Error(err)
		}
	})
	return Attachment{
		PodID: fmt.Sprintf("%064x", h.pods), Namespace: "default", Name: name, UID: "uid-" + name, NetNS: netns.Path(dir, netns.Net),
	}
}

func (h *host) attach(m *Manager, att Attachment) *Result {
	h.t.Helper()
	res, err := m.Attach(context.Background(), att)
	if err != nil {
		h.t.Fatalf("Attach: %v", err)
	}
	return res
}

func (h *host) detach(m *Manager, att Attachment) {
	h.t.Helper()
	if err := m.Detach(context.Background(), att); err != nil {
		h.t.Errorf("Detach: %v", err)
	}
}

// conf writes a configuration file.
func (h *host) conf(name, content string) {
	h.t.Helper()
	if err := os.MkdirAll(h.confDir, 0o755); err != nil {
		h.t.Fatal(err)
	}
	tmp := filepath.Join(h.dir, "new-conf")
	if err := os.WriteFile(tmp, []byte(content), 0o644); err != nil {
		h.t.Fatal(err)
	}
	if err := os.Rename(tmp, filepath.Join(h.confDir, name)); err != nil {
		h.t.Fatal(err)
	}
}

// fake puts a shell script in the place of a plugin: only to fail, hang or write garbage.
func (h *host) fake(name, script string) {
	h.t.Helper()
	file := filepath.Join(h.dir, "fakes", name)
	if err := os.WriteFile(file+".new", []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		h.t.Fatal(err)
	}
}

// bridgeConf is a network of the real bridge plugin with others chained behind it.
func (h *host) bridgeConf(version, chained string) string {
	return fmt.Sprintf(`{"cniVersion":%q,"name":"testnet","plugins":[
		{"type":"bridge","bridge":"btestbr","isGateway":true,"ipMasq":true,"ipMasqBackend":"nftables",
		 "ipam":{"type":"host-local","dataDir":%q,"ranges":[[{"subnet":"10.99.0.0/24"}]],"routes":[{"dst":"0.0.0.0/0"}]}}
		%s]}`, version, filepath.Join(h.dir, "ipam"), chained)
}

// checkClean runs after everything else of the test: no veth, rule, reservation, record, mount,
// process or stray thread is left.
func (h *host) checkClean() {
	t := h.t
	t.Helper()
	links, err := netlink.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		switch {
		case l.Type() == "bridge":
			_ = netlink.LinkDel(l)
			_ = exec.Command("nft", "delete", "table", "ip", loopbackTable(l.Attrs().Name)).Run()
		case l.Type() == "veth" || l.Type() == "ifb":
			t.Errorf("link %s (%s) is left", l.Attrs().Name, l.Type())
			_ = netlink.LinkDel(l)
		}
	}
	if rules := podRules(t); rules != "" {
		t.Errorf("nftables rules are left:\n%s", rules)
		_ = exec.Command("nft", "flush", "ruleset").Run()
	}
	for _, pattern := range []string{"ipam/*/*.*.*.*", "ipam/*/*:*", "cache/attachments/*", "cache/results/*"} {
		if left, _ := filepath.Glob(filepath.Join(h.dir, pattern)); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	}
	if out, err := exec.Command("iptables-save").CombinedOutput(); err == nil && strings.Contains(string(out), "CNI-") {
		t.Errorf("iptables rules are left:\n%s", out)
	}
	h.noProcesses()
}

// podRules lists the nftables rules that belong to a pod: those with a comment.
func podRules(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("nft", "list", "ruleset").CombinedOutput()
	if err != nil {
		t.Fatalf("nft: %v: %s", err, out)
	}
	var rules []string
	for _, line := range strings.Split(string(out), "\n") {
		if strings.Contains(line, "masquerade comment") || strings.Contains(line, "dnat") {
			rules = append(rules, line)
		}
	}
	return strings.Join(rules, "\n")
}

// noProcesses waits for killed processes to disappear, then expects none with a working file in
// the host's directory.
func (h *host) noProcesses() {
	h.t.Helper()
	eventually(h.t, "plugins to be gone", func() error {
		all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, file := range all {
			cmdline, _ := os.ReadFile(file)
			if strings.Contains(string(cmdline), h.dir) {
				return fmt.Errorf("%s: %q", file, cmdline)
			}
		}
		return nil
	})
}

// eventually waits for something that no event announces to a test.
func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waiting for %s: %v", what, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// awaitStatus waits until the status is as wanted, and returns it.
func awaitStatus(t *testing.T, m *Manager, what string, ok func(Status) bool) Status {
	t.Helper()
	var s Status
	eventually(t, what, func() error {
		if s = m.Status(); ok(s) {
			return nil
		}
		return fmt.Errorf("status is %+v", s)
	})
	return s
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
