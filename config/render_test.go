package config

import (
	"slices"
	"strings"
	"testing"
)

// The printed defaults are a valid file that changes nothing.
func TestMarshalDefaultLoads(t *testing.T) {
	text, err := MarshalDefault()
	if err != nil {
		t.Fatal(err)
	}
	c, err := load(t, string(text), Overrides{})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	want := Default()
	want.Complete()
	if changed := c.Changed(want); len(changed) > 0 {
		t.Errorf("loading the printed defaults changed %q", changed)
	}
	state := "/run/moved"
	moved, err := load(t, string(text), Overrides{State: &state})
	if err != nil || moved.Address != "/run/moved/berth.sock" || moved.Metrics.Address != "127.0.0.1:0" {
		t.Errorf("in a copy of the printed defaults, values do not follow state: %v", err)
	}
}

// What `config show` prints is complete: it makes the same configuration.
func TestMarshalRoundTrip(t *testing.T) {
	state := "/run/b"
	c, err := load(t, `
[runtime.handlers.kata]
shim = "io.containerd.kata.v2"
options.config_body = "a = 'b'\nc = \"d\""
[runtime.handlers.'with.dot']
[container.ulimits]
nofile = "1024:524288"
core = "unlimited"
`, Overrides{State: &state})
	if err != nil {
		t.Fatal(err)
	}
	text, err := c.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	again, err := load(t, string(text), Overrides{})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if changed := again.Changed(c); len(changed) > 0 {
		t.Errorf("%q changed in\n%s", changed, text)
	}
	if !strings.Contains(string(text), `state = "/run/b"  # --state`) {
		t.Errorf("the origin of state is missing in\n%s", text)
	}
}

func TestEveryKeyIsDocumented(t *testing.T) {
	c := Default()
	for _, s := range c.sections() {
		for _, e := range s.entries {
			if e.doc == "" {
				t.Errorf("%s has no doc comment", e.key)
			}
		}
	}
}

func TestChanged(t *testing.T) {
	a, b := Default(), Default()
	b.Log.Level = "debug"
	b.Runtime.Handlers["crun"] = DefaultHandler()
	changed := a.Changed(b)
	if !slices.Contains(changed, "log.level") || !slices.Contains(changed, "runtime.handlers.crun.path") {
		t.Errorf("Changed = %q", changed)
	}
	if !Reloadable("log.level") || Reloadable("runtime.handlers.crun.path") {
		t.Error("only log.level takes effect without a restart")
	}
}
