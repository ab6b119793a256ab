package config

import (
	"strings"
	"testing"
)

// Every mistake is fatal, and its message begins with file, line and key.
func TestErrors(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"unknown key", "\nrot = 'x'", `c.toml:2: rot: unknown key; did you mean "root"?`},
		{"unknown key in a table", "[cni]\n\nadd_timeot = '1s'", `c.toml:3: cni.add_timeot: unknown key; did you mean "add_timeout"?`},
		{"unknown dotted key", "cni.x = 1", "c.toml:1: cni.x: unknown key; [cni] has conf_dir,"},
		{"unknown table", "[networking]\na = 1\nb = 2", "c.toml:1: networking: unknown key"},
		{"case matters", "Root = '/x'", `c.toml:1: Root: unknown key; did you mean "root"?`},
		{"unknown key of a handler", "[runtime.handlers.a]\nbinary = 'x'", "c.toml:2: runtime.handlers.a.binary: unknown key"},
		{"unknown key in an inline table", "[runtime]\nhandlers.b = {shim = 'a.b.c', bad = 1}", "c.toml:2: runtime.handlers.b.bad: unknown key"},
		{"array of tables", "[[cni]]\nmax_confs = 1", "c.toml:1: cni: is not a table; it must be a table"},
		{"number for a string", "root = 5", "c.toml:1: root: must be a string, is the integer 5"},
		{"number for a duration", "[cni]\nadd_timeout = 5", `c.toml:2: cni.add_timeout: must be a duration such as "10s", is the integer 5`},
		{"bad duration", "[cni]\nadd_timeout = '5 apples'", `c.toml:2: cni.add_timeout: "5 apples" is not a duration`},
		{"negative duration", "[cni]\nadd_timeout = '-3s'", `c.toml:2: cni.add_timeout: must be positive, is "-3s"`},
		{"string for a bool", "[cni.default_network]\nenabled = 'yes'", `c.toml:2: cni.default_network.enabled: must be true or false, is the string "yes"`},
		{"number in a list", "[cni]\nbin_dirs = ['/a', 7]", "c.toml:2: cni.bin_dirs: must be an array of strings, is an array with the integer 7"},
		{"float for an integer", "[pod]\nshm_size = 1.5", "c.toml:2: pod.shm_size: must be an integer, is the float 1.5"},
		{"too big an integer", "[streaming]\nport = 99999999999999999999", "c.toml:2: streaming.port: "},
		{"value for a table", "pod = 5", "c.toml:1: pod: must be a table, is the integer 5"},
		{"key below a value", "[log.level]\nx = 1", "c.toml:1: log.level: is not a table"},
		{"bad syntax", "[cni\n", "c.toml:1: expected ']'"},
		{"twice", "root = '/a'\nroot = '/b'", "c.toml:2: root: key root is already defined"},
		{"root equals state", "root = '/x'\nstate = '/x/'", "c.toml:2: state: must not be the same directory as root"},
		{"root in state", "root = '/x/y'\nstate = '/x'", "c.toml:1: root: must not lie in the state directory /x"},
		{"relative root", "root = 'x'", `c.toml:1: root: must be an absolute path, is "x"`},
		{"root for overlayfs", "root = '/a:b'", "c.toml:1: root: must not contain any of"},
		{"long state", "state = '/" + strings.Repeat("x", 80) + "'", "c.toml:1: state: is too long: 81 bytes, 40 are possible"},
		{"long address", "address = '/" + strings.Repeat("x", 120) + "'", "c.toml:1: address: is too long for a unix socket"},
		{"log level", "[log]\nlevel = 'loud'", `c.toml:2: log.level: must be one of error, warn, info, debug, trace, is "loud"`},
		{"metrics port", "[metrics]\naddress = 'localhost:99999'", "c.toml:2: metrics.address: must be HOST:PORT"},
		{"key without certificate", "[metrics]\ntls_key_file = '/k'", "c.toml:2: metrics.tls_key_file: needs metrics.tls_cert_file too"},
		{"open streaming", "[streaming]\naddress = '0.0.0.0'", "c.toml:2: streaming.address: 0.0.0.0 can be reached from other machines"},
		{"default handler", "[runtime]\ndefault_handler = 'crun'", `c.toml:2: runtime.default_handler: there is no handler "crun"; there are runc`},
		{"shim and path", "[runtime.handlers.k]\nshim = 'io.containerd.kata.v2'\npath = '/k'", "c.toml:3: runtime.handlers.k.path: cannot be set together"},
		{"bad shim", "[runtime.handlers.k]\nshim = 'kata'", `c.toml:2: runtime.handlers.k.shim: must be a name such as "io.containerd.kata.v2"`},
		{"long state with an external containerd", "state = '/" + strings.Repeat("x", 45) + "'\n[containerd]\naddress = '/c.sock'", "c.toml:1: state: is too long: 46 bytes, 45 are possible"},
		{"options without shim", "[runtime.handlers.k.options]\nbinary_name = 'x'", "c.toml:1: runtime.handlers.k.options: are for the handler's shim"},
		{"cgroup driver", "[cgroup]\ndriver = 'systmd'", "c.toml:2: cgroup.driver: must be one of auto, systemd, cgroupfs"},
		{"subnet", "[cni.default_network]\nsubnets = ['10.0.0.1/16']", "c.toml:2: cni.default_network.subnets: 10.0.0.1/16 has bits set beyond its prefix"},
		{"two IPv4 subnets", "[cni.default_network]\nsubnets = ['10.0.0.0/16', '10.1.0.0/16']", "c.toml:2: cni.default_network.subnets: must hold at most one"},
		{"tiny subnet", "[cni.default_network]\nsubnets = ['10.0.0.0/31']", "c.toml:2: cni.default_network.subnets: 10.0.0.0/31 leaves no address"},
		{"mtu for IPv6", "[cni.default_network]\nmtu = 1000", "c.toml:2: cni.default_network.mtu: must be 0 or between 1280"},
		{"bridge name", "[cni.default_network]\nbridge = 'a-very-long-bridge'", "c.toml:2: cni.default_network.bridge: must be an interface name"},
		{"ulimit", "[container.ulimits]\nnofile = '5:2'", "c.toml:2: container.ulimits.nofile: the soft limit 5 is above the hard limit 2"},
		{"ulimit text", "[container.ulimits]\nnofile = 'many'", `c.toml:2: container.ulimits.nofile: "many" is not a limit`},
		{"unknown ulimit", "[container.ulimits]\nfiles = 5", "c.toml:2: container.ulimits.files: unknown limit"},
		{"seccomp", "[security]\nunset_seccomp_profile = 'localhost/x'", "c.toml:2: security.unset_seccomp_profile: must be"},
		{"no seccomp file", "[security]\nunset_seccomp_profile = 'localhost//gone.json'", "c.toml:2: security.unset_seccomp_profile: the profile cannot be read"},
		{"no seccomp profile", "[security]\nunset_seccomp_profile = 'localhost//proc/self/comm'", "c.toml:2: security.unset_seccomp_profile: /proc/self/comm is not a seccomp profile"},
		{"capability", "[security]\ndefault_capabilities = ['CHOWN', 'FLY']", `c.toml:2: security.default_capabilities: there is no capability "FLY"`},
		{"pinned", "[image]\npinned = ['*']", `c.toml:2: image.pinned: "*" is not an image reference`},
		{"annotation pattern", "[runtime.handlers.runc]\npod_annotations = ['[']", `c.toml:2: runtime.handlers.runc.pod_annotations: "[" is not a shell pattern`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := load(t, tc.text, Overrides{})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Load of\n%s\n= %v\nwant %s", tc.text, err, tc.want)
			}
		})
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	_, err := load(t, "[pod]\nshm_size = 1\n[log]\nlevel = 'x'\nformat = 'y'\n", Overrides{})
	if err == nil {
		t.Fatal("no error")
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 3 {
		t.Fatalf("%d problems, want 3:\n%v", len(lines), err)
	}
	for i, place := range []string{"c.toml:2: ", "c.toml:4: ", "c.toml:5: "} {
		if !strings.HasPrefix(lines[i], place) {
			t.Errorf("problem %d is %q, want it at %s", i, lines[i], place)
		}
	}
}

func TestFlagErrorNamesFlag(t *testing.T) {
	level, metrics := "loud", "nowhere"
	_, err := load(t, "[log]\nlevel = 'info'", Overrides{LogLevel: &level, MetricsAddress: &metrics})
	if err == nil || !strings.Contains(err.Error(), "--log-level: log.level: must be one of") ||
		!strings.Contains(err.Error(), "--metrics-address: metrics.address: must be HOST:PORT") {
		t.Errorf("Load = %v, want the flags named", err)
	}
}
