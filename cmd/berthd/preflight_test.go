package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/berth-run/berth/config"
	"github.com/berth-run/berth/internal/statedir"
)

// values are values of one key in TOML: documented examples and the last ones within its bounds,
// and the first ones beyond.
type values struct{ good, bad []string }

var (
	anyBool      = values{[]string{"true", "false"}, []string{`"yes"`, "1"}}
	positive     = values{[]string{`"1ns"`, `"250ms"`, `"1m30s"`, `"9000h"`}, []string{`"0s"`, `"-1s"`, `"10"`, "10"}}
	notNegative  = values{[]string{`"0s"`, `"10s"`}, []string{`"-1ns"`, "0"}}
	fromZero     = values{[]string{"0", "1", "100000"}, []string{"-1", `"1"`, "1.5"}}
	fromOne      = values{[]string{"1", "100000"}, []string{"0", "-1"}}
	anyText      = values{[]string{`""`, `"x"`}, []string{"1", "true"}}
	patterns     = values{[]string{"[]", `["io.katacontainers.*"]`, `["a", "b?"]`}, []string{`[""]`, `["[a"]`, `"a"`}}
	tlsAlone     = values{[]string{`""`}, []string{`"cert.pem"`, `"/a/b.pem"`}}
	optionalPath = values{[]string{`""`}, []string{`"a/b"`}}
	drivers      = values{[]string{`"auto"`, `"cgroupfs"`}, []string{`"none"`, `""`}}
)

// longest is a state directory of the greatest length.
func longest(embedded bool) string { return "/" + strings.Repeat("s", statedir.Max(embedded)-1) }

// keys has an entry for every key. What is good passes `config check`, what is bad does not.
var keys = map[string]values{
	"root":    {[]string{`"/var/lib/berth"`, `"/data/a"`}, []string{`"/"`, `"a"`, `"/a:b"`, `"/run/berth"`, `"/run/berth/root"`}},
	"state":   {[]string{`"/run/berth"`, `"/run/a"`, `"` + longest(true) + `"`}, []string{`"` + longest(true) + `x"`, `"/"`, `"run"`, `"/a,b"`}},
	"address": {[]string{`"/run/berth/berth.sock"`, `"unix:///run/x.sock"`, `"/` + strings.Repeat("x", 106) + `"`}, []string{`"/` + strings.Repeat("x", 107) + `"`, `"x.sock"`, `"tcp://127.0.0.1:1"`}},

	"log.level":  {[]string{`"error"`, `"warn"`, `"info"`, `"debug"`, `"trace"`}, []string{`"loud"`, `""`, "1"}},
	"log.format": {[]string{`"text"`, `"json"`}, []string{`"xml"`, `""`}},

	"metrics.address":            {[]string{`"127.0.0.1:9945"`, `""`, `"unix:///run/m.sock"`, `"[::1]:0"`, `":65535"`}, []string{`"9945"`, `":65536"`, `"unix://m.sock"`}},
	"metrics.token_file":         {[]string{`""`, `"/run/berth/token"`}, []string{`"token"`}},
	"metrics.tls_cert_file":      tlsAlone,
	"metrics.tls_key_file":       tlsAlone,
	"metrics.tls_client_ca_file": tlsAlone,

	"streaming.address":            {[]string{`"127.0.0.1"`, `"localhost"`, `"::1"`}, []string{`""`, `"0.0.0.0"`, `"node.example"`, `"unix:///x"`}},
	"streaming.port":               {[]string{"0", "65535"}, []string{"-1", "65536"}},
	"streaming.idle_timeout":       positive,
	"streaming.creation_timeout":   positive,
	"streaming.dial_timeout":       positive,
	"streaming.tls_cert_file":      tlsAlone,
	"streaming.tls_key_file":       tlsAlone,
	"streaming.tls_client_ca_file": tlsAlone,

	"containerd.address":         {[]string{`""`, `"/run/containerd/containerd.sock"`, `"unix:///run/containerd/containerd.sock"`}, []string{`"c.sock"`}},
	"containerd.snapshotter":     {[]string{`"overlayfs"`, `"native"`}, []string{`"zfs"`, `""`, `"a b"`}},
	"containerd.connect_timeout": positive,
	"containerd.call_timeout":    positive,

	"runtime.default_handler":                               {[]string{`"runc"`}, []string{`"kata"`, `""`}},
	"runtime.handlers.runc.path":                            {[]string{`""`, `"runc"`, `"crun"`, `"/bin/sh"`}, []string{`"bin/runc"`, `"/nonexistent/runc"`, `"nonexistent"`}},
	"runtime.handlers.runc.shim":                            {[]string{`""`, `"/bin/sh"`, `"io.containerd.kata.v2"`}, []string{`"kata"`, `"bin/shim"`, `"io.containerd.nonexistent.v2"`, `"/nonexistent/shim"`}},
	"runtime.handlers.runc.options.type_url":                {[]string{`""`}, []string{"1"}},
	"runtime.handlers.runc.options.config_path":             {[]string{`""`}, []string{`"/a"`}}, // without a shim
	"runtime.handlers.runc.options.config_body":             {[]string{`""`}, []string{`"a"`}},
	"runtime.handlers.runc.options.binary_name":             {[]string{`""`}, []string{`"a"`}},
	"runtime.handlers.runc.cgroup_driver":                   drivers,
	"runtime.handlers.runc.snapshotter":                     {[]string{`""`, `"native"`}, []string{`"zfs"`, `"a/b"`}},
	"runtime.handlers.runc.base_spec":                       {[]string{`""`}, []string{`"spec.json"`, `"/nonexistent/spec.json"`, `"/dev/null"`}},
	"runtime.handlers.runc.privileged_without_host_devices": anyBool,
	"runtime.handlers.runc.pod_annotations":                 patterns,
	"runtime.handlers.runc.container_annotations":           patterns,
	"runtime.handlers.runc.user_namespaces":                 {[]string{`"auto"`, `"yes"`, `"no"`}, []string{`"maybe"`, "true"}},
	"runtime.handlers.runc.timeout":                         positive,

	"cgroup.driver": drivers,

	"cni.conf_dir":       {[]string{`"/etc/cni/net.d"`, `"/nonexistent"`, `""`}, []string{`"net.d"`}},
	"cni.bin_dirs":       {[]string{`["/opt/cni/bin"]`, `["/a", "/b"]`}, []string{"[]", `["bin"]`, `"/opt/cni/bin"`}},
	"cni.max_confs":      fromZero,
	"cni.add_timeout":    positive,
	"cni.del_timeout":    positive,
	"cni.gc_timeout":     positive,
	"cni.status_timeout": positive, "cni.status_interval": positive,
	"cni.gc_interval":   notNegative,
	"cni.del_retry_max": positive,
	"cni.del_give_up":   notNegative,
	"cni.ip_preference": {[]string{`"cni"`, `"ipv4"`, `"ipv6"`}, []string{`""`, `"v4"`}},

	"cni.default_network.enabled": anyBool,
	"cni.default_network.bridge":  {[]string{`"berth0"`, `"a"`, `"abcdefghij"`, `""`}, []string{`"abcdefghijk"`, `"a/b"`, `"-a"`}},
	"cni.default_network.subnets": {[]string{`["10.98.0.0/16"]`, `["10.98.0.0/16", "fd62:6572:7468:98::/64"]`, `["10.0.0.0/30"]`},
		[]string{"[]", `["10.98.0.1/16"]`, `["10.0.0.0/31"]`, `["10.1.0.0/16", "10.2.0.0/16"]`, `["x"]`}},
	"cni.default_network.mtu":     {[]string{"0", "1280", "65535"}, []string{"1279", "65536", "-1"}},
	"cni.default_network.backend": {[]string{`"auto"`, `"nftables"`, `"iptables"`}, []string{`""`, `"ipvs"`}},

	"image.registry_config_dir":      {[]string{`"/etc/containerd/certs.d"`, `"/nonexistent"`, `""`}, []string{`"certs.d"`}},
	"image.max_concurrent_pulls":     fromOne,
	"image.max_concurrent_downloads": fromOne,
	"image.max_concurrent_unpacks":   fromZero,
	"image.max_unpacked_size":        fromZero,
	"image.resolve_timeout":          positive,
	"image.progress_timeout":         positive,
	"image.min_throughput":           fromOne,
	"image.pull_timeout":             positive,
	"image.remove_timeout":           positive,
	"image.discard_unpacked_layers":  anyBool,
	"image.pinned": {[]string{"[]", `["registry.k8s.io/pause:3.10"]`, `["registry.k8s.io/*", "busybox"]`, `["sha256:` + strings.Repeat("ab", 32) + `"]`},
		[]string{`["*"]`, `["*/pause"]`, `["a b"]`, `["UPPER"]`, `"pause"`}},

	"pod.max_concurrent_starts": fromZero,
	"pod.operation_timeout":     positive,
	"pod.shm_size":              {[]string{"4096", "67108864"}, []string{"4095", "0", `"64M"`}},
	"pod.drain_timeout":         notNegative,

	"container.max_concurrent_starts":                  fromZero,
	"container.max_log_line_size":                      {[]string{"256", "16384"}, []string{"255", "-1"}},
	"container.exec_drain_timeout":                     notNegative,
	"container.exec_max_output":                        fromOne,
	"container.kill_timeout":                           positive,
	"container.enable_unprivileged_ports":              anyBool,
	"container.enable_unprivileged_icmp":               anyBool,
	"container.device_ownership_from_security_context": anyBool,
	"container.tolerate_missing_hugetlb":               anyBool,
	"container.block_io_config_file":                   {[]string{`""`}, []string{`"a.yaml"`, `"/nonexistent/a.yaml"`}},
	"container.enable_rdt":                             anyBool,
	"container.ulimits":                                {[]string{"{}", `{nofile = "1024:524288"}`, `{core = 0}`, `{memlock = "unlimited"}`}, []string{`{nofile = "2:1"}`, `{files = 1}`, `{nofile = "x"}`}},

	"security.unset_seccomp_profile": {[]string{`"unconfined"`, `"runtime/default"`}, []string{`""`, `"localhost/a"`, `"localhost//nonexistent"`, `"docker/default"`}},
	"security.default_capabilities":  {[]string{"[]", `["CHOWN", "NET_BIND_SERVICE"]`}, []string{`["FLY"]`, `"CHOWN"`}},
	"security.disable_apparmor":      anyBool,
	"security.enable_selinux":        anyBool,

	"cdi.spec_dirs": {[]string{"[]", `["/etc/cdi", "/var/run/cdi"]`}, []string{`["cdi"]`}},
}

// checked is the error of `config check` for a file with this text, and what it would warn of.
func checked(t *testing.T, text string) ([]string, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "c.toml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(config.LoadOptions{File: file})
	if err != nil {
		return nil, err
	}
	p, err := runPreflight(c)
	if err != nil {
		t.Fatal(err)
	}
	return p.warnings, p.err()
}

// TestEveryKey gives `config check` the documented examples and the bounds of every key.
func TestEveryKey(t *testing.T) {
	standIns(t)
	for _, key := range documentedKeys(t) {
		of, ok := keys[key]
		if !ok {
			t.Errorf("%s has no examples here", key)
		}
		for _, v := range of.good {
			if _, err := checked(t, key+" = "+v); err != nil {
				t.Errorf("%s = %s: %v", key, v, err)
			}
		}
		for _, v := range of.bad {
			if _, err := checked(t, key+" = "+v); err == nil {
				t.Errorf("%s = %s passes", key, v)
			}
		}
	}
}

// documentedKeys are the keys that `config default` prints, commented out or not.
func documentedKeys(t *testing.T) (names []string) {
	t.Helper()
	text, err := config.MarshalDefault()
	if err != nil {
		t.Fatal(err)
	}
	header := regexp.MustCompile(`^#?\[([a-z_.]+)\]$`)
	line := regexp.MustCompile(`^(?:# )?([a-z_]+) = `)
	table := ""
	for l := range strings.Lines(string(text)) {
		if m := header.FindStringSubmatch(strings.TrimSpace(l)); m != nil {
			table = m[1] + "."
		} else if m := line.FindStringSubmatch(l); m != nil {
			names = append(names, table+m[1])
		}
	}
	if len(names) < 80 {
		t.Fatalf("found %d keys only", len(names))
	}
	return names
}

// TestPreflight: mistakes end with the code after which systemd does not try again, with their place; what may
// come later does not; and of what only some pods need there is a warning.
func TestPreflight(t *testing.T) {
	standIns(t)
	for _, tc := range []struct {
		text, want string
		code       int
	}{
		{"[containerd]\nsnapshotter = 'zfs'", `c.toml:2: containerd.snapshotter: the containerd inside berthd has no snapshotter "zfs"`, exitUsage},
		{"[containerd]\nsnapshotter = 'zfs'\naddress = '/c.sock'", "", 0},
		{"[runtime.handlers.x]\nsnapshotter = 'zfs'", `c.toml:2: runtime.handlers.x.snapshotter: `, exitUsage},
		{"[image]\npinned = ['UPPER']", `c.toml:2: image.pinned: image reference "UPPER"`, exitUsage},
		{"[runtime.handlers.kata]\nshim = 'io.containerd.nonexistent.v2'", `warning: FILE/c.toml:1: runtime.handlers.kata: pods of this handler will be refused: shim io.containerd.nonexistent.v2: containerd-shim-nonexistent-v2 not found in any of`, 0},
		{"[cni]\ncheck_timeout = '1s'", "warning: FILE/c.toml:2: cni.check_timeout: does nothing any more", 0},
		{"[runtime.handlers.gone]", "runtime.handlers.gone: pods of this handler will be refused: gone not found in any of", 0},
		{"[runtime.handlers.runc]\nbase_spec = '/nonexistent'", "c.toml:1: runtime.handlers.runc: base_spec: open /nonexistent", exitFailure},
		{"[streaming]\ntls_cert_file = '/nonexistent'\ntls_key_file = '/k'", "c.toml:2: streaming.tls_cert_file: TLS of the streaming server: ", exitFailure},
		{"[container]\nblock_io_config_file = '/nonexistent'", "c.toml:2: container.block_io_config_file: ", exitFailure},
		{"[cni]\nbin_dirs = ['/nonexistent']\nconf_dir = '/nonexistent'", "only pods on the host's network can start: CNI plugin", 0},
	} {
		dir := t.TempDir()
		file := filepath.Join(dir, "c.toml")
		if err := os.WriteFile(file, []byte(tc.text), 0o600); err != nil {
			t.Fatal(err)
		}
		r := runBerthd(t, "config", "check", "--config", file)
		if want := strings.ReplaceAll(tc.want, "FILE", dir); r.code != tc.code || !strings.Contains(r.stderr, want) {
			t.Errorf("%s: code %d, %s\nwant code %d, %s", tc.text, r.code, r.stderr, tc.code, want)
		}
	}
}

// standIns puts programs of the names that berthd looks for into PATH.
func standIns(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"berth-shim", "berth-init", "runc", "crun", "containerd-shim-kata-v2"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}
