package config

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/berth-run/berth/internal/statedir"
)

const podID = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// Each path lies below the directory that it was asked for, and no two things
// share one.
func TestPathsStayInside(t *testing.T) {
	p := Paths{Root: "/r", State: "/s"}
	v := reflect.ValueOf(p)
	seen := map[string]string{}
	for i := range v.NumMethod() {
		name := v.Type().Method(i).Name
		if v.Method(i).Type().Out(0).Kind() != reflect.String {
			continue // a list of others
		}
		args := make([]reflect.Value, v.Method(i).Type().NumIn())
		for j := range args {
			args[j] = reflect.ValueOf([]string{podID, "mnt"}[j])
		}
		got := v.Method(i).Call(args)[0].String()
		if !strings.HasPrefix(got, "/r/") && !strings.HasPrefix(got, "/s/") {
			t.Errorf("%s = %s is outside of root and state", name, got)
		}
		if other, ok := seen[got]; ok {
			t.Errorf("%s and %s are both %s", name, other, got)
		}
		seen[got] = name
	}
}

func TestSocketsFitBelowTheLongestState(t *testing.T) {
	p := Paths{Root: "/r", State: "/" + strings.Repeat("s", statedir.Max(false)-1)}
	for _, s := range []string{
		p.Socket(), p.DebugSocket(), p.ShimTask(podID), p.ShimControl(podID),
		p.ContainerdSocket(), p.ContainerdTTRPCSocket(),
	} {
		if len(s) > statedir.MaxSocketPath {
			t.Errorf("%s has %d bytes, a socket's path may have %d", s, len(s), statedir.MaxSocketPath)
		}
	}
	p.State = "/" + strings.Repeat("s", statedir.Max(true)-1)
	// containerd calls the socket of a shim by a SHA-256 in hex.
	if s := p.ForeignShims() + "/" + strings.Repeat("f", 64); len(s) != statedir.MaxSocketPath {
		t.Errorf("%s has %d bytes, want %d", s, len(s), statedir.MaxSocketPath)
	}
	if p.ShimTask(podID) == p.ShimTask(strings.ToUpper(podID)) {
		t.Error("sockets of different pods share a path")
	}
}

// A moved instance keeps away from everything of the first one.
func TestMovedInstance(t *testing.T) {
	root, state := "/data/b", "/run/b"
	c, err := load(t, "", Overrides{Root: &root, State: &state})
	if err != nil {
		t.Fatal(err)
	}
	if c.Address != "/run/b/berth.sock" {
		t.Errorf("address = %s", c.Address)
	}
	for key, dir := range map[string]string{
		"cni.conf_dir": c.CNI.ConfDir, "image.registry_config_dir": c.Image.RegistryConfigDir, "cdi.spec_dirs": c.CDI.SpecDirs[0],
	} {
		if !strings.HasPrefix(dir, root+"/") {
			t.Errorf("%s = %s, want it below %s", key, dir, root)
		}
	}
	if c.Metrics.Address != "127.0.0.1:0" {
		t.Errorf("metrics.address = %s", c.Metrics.Address)
	}
	first := Default()
	first.Complete()
	if first.CNI.DefaultNetwork.Bridge == c.CNI.DefaultNetwork.Bridge {
		t.Error("both instances have the bridge", first.CNI.DefaultNetwork.Bridge)
	}
	for i, s := range c.CNI.DefaultNetwork.Subnets {
		if a, b := netip.MustParsePrefix(s), netip.MustParsePrefix(first.CNI.DefaultNetwork.Subnets[i]); a.Overlaps(b) {
			t.Errorf("%s overlaps %s", a, b)
		}
	}
}

func TestFirstInstance(t *testing.T) {
	c, err := load(t, "root = '/big/disk'", Overrides{})
	if err != nil {
		t.Fatal(err)
	}
	if c.CNI.ConfDir != "/etc/cni/net.d" || c.Image.RegistryConfigDir != "/etc/containerd/certs.d" ||
		c.Metrics.Address != DefaultMetricsAddress || c.Address != "/run/berth/berth.sock" {
		t.Errorf("a root on another disk changed the host's places: %+v", c)
	}
}

func TestExplicitValuesDoNotMove(t *testing.T) {
	state, address := "/run/b", "unix:///tmp/x.sock"
	c, err := load(t, "[metrics]\naddress = '127.0.0.1:9945'\n[cni]\nconf_dir = '/etc/cni/net.d'\n",
		Overrides{State: &state, Address: &address})
	if err != nil {
		t.Fatal(err)
	}
	if c.Metrics.Address != "127.0.0.1:9945" || c.CNI.ConfDir != "/etc/cni/net.d" || c.Address != "/tmp/x.sock" {
		t.Errorf("metrics %s, CNI %s, address %s", c.Metrics.Address, c.CNI.ConfDir, c.Address)
	}
}

// Whatever the state directory is called, what is derived from it is valid.
func TestDerivedValuesAreValid(t *testing.T) {
	for i := range 500 {
		c := Default()
		c.State = "/run/" + strings.Repeat("x", i%35) + string(rune('a'+i%26))
		c.Complete()
		if err := c.Validate(); err != nil {
			t.Fatalf("state %s: %v", c.State, err)
		}
	}
}
