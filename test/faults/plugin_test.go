package faults

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-run/berth/test/daemon"
)

// A CNI plugin, which is this test binary under another name. It passes on what the
// plugin before it made, and does what the file in its configuration says: a line such
// as "ADD fail" or "DEL hang".

type pluginConfig struct {
	Orders     string          `json:"orders"`
	PrevResult json.RawMessage `json:"prevResult"`
}

func pluginMain() int {
	verb := os.Getenv("CNI_COMMAND")
	if verb == "VERSION" {
		fmt.Println(`{"cniVersion":"1.0.0","supportedVersions":["0.4.0","1.0.0"]}`)
		return 0
	}
	var c pluginConfig
	raw, err := io.ReadAll(os.Stdin)
	if err == nil {
		err = json.Unmarshal(raw, &c)
	}
	if err != nil {
		fmt.Printf(`{"code":6,"msg":%q}`, err)
		return 1
	}
	orders, _ := os.ReadFile(c.Orders)
	for line := range strings.Lines(string(orders)) {
		switch strings.TrimSpace(line) {
		case verb + " fail":
			fmt.Print(`{"cniVersion":"1.0.0","code":100,"msg":"told to fail"}`)
			return 1
		case verb + " hang":
			time.Sleep(time.Hour)
		}
	}
	if verb == "ADD" {
		fmt.Println(string(c.PrevResult))
	}
	return 0
}

// faultyNetwork is a daemon whose pods have a network with that plugin.
type faultyNetwork struct {
	*daemon.Daemon
	orders string
}

// order tells the plugin what to do from now on.
func (f faultyNetwork) order(t *testing.T, lines ...string) {
	t.Helper()
	if err := os.WriteFile(f.orders, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

func launchFaultyNetwork(t *testing.T, opts daemon.Options) faultyNetwork {
	t.Helper()
	daemon.Require(t)
	dir, err := os.MkdirTemp("", "fn-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	bin, err := daemon.BinDir()
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	conf, plugins, orders := filepath.Join(dir, "net.d"), filepath.Join(dir, "bin"), filepath.Join(dir, "orders")
	bridge := "bf" + filepath.Base(dir)[3:min(11, len(filepath.Base(dir)))]
	list := fmt.Sprintf(`{"cniVersion":"1.0.0","name":"faulty","plugins":[
		{"type":"bridge","bridge":%q,"isGateway":true,"ipMasq":true,"ipam":{"type":"host-local","dataDir":%q,
		 "ranges":[[{"subnet":"10.211.7.0/24"}]],"routes":[{"dst":"0.0.0.0/0"}]}},
		{"type":"faulty","orders":%q}]}`, bridge, filepath.Join(dir, "ipam"), orders)
	for _, d := range []string{conf, plugins} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(conf, "10-faulty.conflist"), []byte(list), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(plugins, "faulty")); err != nil {
		t.Fatal(err)
	}
	opts.Config += fmt.Sprintf("\n[cni]\nconf_dir = %q\nbin_dirs = [%q, %q]\nadd_timeout = \"2s\"\ndel_timeout = \"2s\"\ndel_retry_max = \"1s\"\n",
		conf, filepath.Join(bin, "cni"), plugins)
	f := faultyNetwork{Daemon: launch(t, opts), orders: orders}
	t.Cleanup(func() { removeLink(bridge) })
	f.order(t)
	return f
}
