package cni

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/vishvananda/netlink"

	"github.com/berth-run/berth/internal/netns"
)

// serve answers "hello" on a port of the pod until the test ends.
func serve(t *testing.T, att Attachment, port int) {
	t.Helper()
	for _, network := range []string{"tcp4", "tcp6"} {
		var l net.Listener
		if err := netns.Do(att.NetNS, func() (err error) {
			l, err = net.Listen(network, fmt.Sprintf(":%d", port))
			return err
		}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				fmt.Fprintln(conn, "hello")
				conn.Close()
			}
		}()
	}
}

// reach connects from the host.
func reach(addr string) error {
	conn, err := net.DialTimeout("tcp", addr, 3*time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || line != "hello\n" {
		return fmt.Errorf("answer %q, %v", line, err)
	}
	return nil
}

func TestDefaultNetwork(t *testing.T) {
	h := newHost(t)
	m := h.manager()
	if s := m.Status(); !s.Ready || s.NetworkName != "berth" || s.File != "" {
		t.Fatalf("status %+v", s)
	}
	att := h.pod()
	att.Ports = []PortMapping{
		{Protocol: "tcp", ContainerPort: 8080, HostPort: 18080},
		{Protocol: "tcp", ContainerPort: 8080, HostPort: 18081, HostIP: netip.MustParseAddr("127.0.0.1")},
		{Protocol: "udp", ContainerPort: 53, HostPort: 15353},
		{Protocol: "sctp", ContainerPort: 99, HostPort: 19999},
		{Protocol: "tcp", ContainerPort: 9090}, // not published
	}
	serve(t, att, 8080)
	res := h.attach(m, att)
	if len(res.IPs) != 2 || !netip.MustParsePrefix("10.88.0.0/16").Contains(res.IPs[0]) || !netip.MustParsePrefix("fd00:10:88::/64").Contains(res.IPs[1]) {
		t.Errorf("addresses %v", res.IPs)
	}
	if _, err := net.ParseMAC(res.MAC); err != nil || res.Interface != "eth0" || len(res.Routes) != 2 || len(res.Networks) != 1 {
		t.Errorf("result %+v", res)
	}
	for _, addr := range []string{net.JoinHostPort(res.IPs[0].String(), "8080"), net.JoinHostPort(res.IPs[1].String(), "8080"), "127.0.0.1:18080", "127.0.0.1:18081"} {
		// A bridge that has just been made has no IPv6 address until its duplicate detection is over.
		eventually(t, "an answer from "+addr, func() error { return reach(addr) })
	}
	cached, err := h.manager().CachedResult(att)
	if err != nil || mustJSON(t, cached) != mustJSON(t, res) {
		t.Errorf("cached result after a restart: %+v, %v, want %+v", cached, err, res)
	}
	if err := m.Check(context.Background(), att); err != nil {
		t.Errorf("Check: %v", err)
	}
	h.detach(m, att)
	h.detach(m, att)
	if rules := podRules(t); rules != "" {
		t.Errorf("rules after DEL:\n%s", rules)
	}
	if _, err := m.CachedResult(att); !errdefs.IsNotFound(err) {
		t.Errorf("CachedResult after DEL: %v", err)
	}
	if err := m.Check(context.Background(), att); !errdefs.IsNotFound(err) {
		t.Errorf("Check after DEL: %v", err)
	}
	if err := m.RemoveBridges(); err != nil {
		t.Error(err)
	}
	if _, err := netlink.LinkByName("berth0"); err == nil {
		t.Error("idle bridge is still there")
	}
	if _, err := os.Stat(h.confDir); err == nil {
		t.Error("the configuration directory was written")
	}
}

func TestManyPodsAtOnce(t *testing.T) {
	h := newHost(t)
	m := h.manager()
	var pods []Attachment
	for range 20 {
		pods = append(pods, h.pod())
	}
	seen := sync.Map{}
	var wg sync.WaitGroup
	for _, att := range pods {
		wg.Go(func() {
			res, err := m.Attach(context.Background(), att)
			if err != nil {
				t.Error(err)
				return
			}
			if other, dup := seen.LoadOrStore(res.IPs[0], att.Name); dup {
				t.Errorf("%s and %v share %v", att.Name, other, res.IPs[0])
			}
		})
	}
	wg.Wait()
	for _, att := range pods {
		wg.Go(func() { h.detach(m, att) })
	}
	wg.Wait()
}

// A namespace that is gone, before or after a restart, must not leave rules or addresses.
func TestDetachWithoutNamespace(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, att *Attachment){
		"removed": func(t *testing.T, att *Attachment) { removeNS(t, att) },
		"empty":   func(t *testing.T, att *Attachment) { removeNS(t, att); att.NetNS = "" },
		"plain file": func(t *testing.T, att *Attachment) {
			removeNS(t, att)
			att.NetNS = t.TempDir() + "/net"
			if err := os.WriteFile(att.NetNS, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			m := h.manager()
			att := h.pod()
			att.Ports = []PortMapping{{Protocol: "tcp", ContainerPort: 80, HostPort: 18080}}
			h.attach(m, att)
			if podRules(t) == "" {
				t.Fatal("no rules to lose")
			}
			spoil(t, &att)
			h.detach(h.manager(), att)
			if rules := podRules(t); rules != "" {
				t.Errorf("rules are left:\n%s", rules)
			}
		})
	}
}

func removeNS(t *testing.T, att *Attachment) {
	t.Helper()
	if err := netns.Remove(context.Background(), strings.TrimSuffix(att.NetNS, "/net")); err != nil {
		t.Fatal(err)
	}
}

// DEL uses the configuration of ADD, also when another one is in force, the pod's port mappings
// are not known any more, and the record or libcni's cache is lost or spoiled.
func TestDetachAfterConfigurationChange(t *testing.T) {
	for name, spoil := range map[string]func(h *host) error{
		"intact":         func(*host) error { return nil },
		"no record":      func(h *host) error { return os.RemoveAll(h.dir + "/cache/attachments") },
		"spoiled record": func(h *host) error { return spoilAll(h.dir + "/cache/attachments") },
		"no cache":       func(h *host) error { return os.RemoveAll(h.dir + "/cache/results") },
		"spoiled cache":  func(h *host) error { return spoilAll(h.dir + "/cache/results") },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			h.conf("10-a.conflist", h.bridgeConf("1.0.0", `,{"type":"portmap","capabilities":{"portMappings":true},"backend":"nftables"}`))
			m := h.manager()
			att := h.pod()
			att.Ports = []PortMapping{{Protocol: "tcp", ContainerPort: 80, HostPort: 18080}}
			h.attach(m, att)
			if err := spoil(h); err != nil {
				t.Fatal(err)
			}
			h.conf("10-a.conflist", `{"cniVersion":"1.0.0","name":"other","plugins":[{"type":"loopback"}]}`)
			later := h.manager()
			if s := later.Status(); s.NetworkName != "other" {
				t.Fatalf("status %+v", s)
			}
			h.detach(later, Attachment{PodID: att.PodID, NetNS: att.NetNS})
			_ = os.RemoveAll(h.dir + "/cache/results") // a file that was spoiled
		})
	}
}

func spoilAll(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if err := os.WriteFile(dir+"/"+e.Name(), []byte(`{"half`), 0o600); err != nil {
			return err
		}
	}
	return err
}

func TestAttachAgainUndoesTheFirst(t *testing.T) {
	h := newHost(t)
	att := h.pod()
	first := h.attach(h.manager(), att)
	m := h.manager()
	second := h.attach(m, att)
	if first.IPs[0] == second.IPs[0] {
		t.Logf("same address %v again", first.IPs[0])
	}
	h.detach(m, att)
}

func TestSeveralNetworks(t *testing.T) {
	h := newHost(t)
	h.opts.MaxConfs = 2
	h.conf("10-a.conflist", h.bridgeConf("1.0.0", ""))
	h.conf("20-b.conf", strings.NewReplacer("testnet", "second", "btestbr", "btestbr2", "10.99.", "10.98.").Replace(
		fmt.Sprintf(`{"cniVersion":"0.4.0","name":"testnet","type":"bridge","bridge":"btestbr","ipam":{"type":"host-local","dataDir":%q,"subnet":"10.99.0.0/24"}}`, h.dir+"/ipam")))
	h.conf("30-c.conflist", `broken`)
	m := h.manager()
	att := h.pod()
	res := h.attach(m, att)
	if len(res.Networks) != 2 || res.Networks[1].Interface != "eth1" || res.Networks[1].Name != "second" || len(res.IPs) != 1 {
		t.Errorf("result %+v", res)
	}
	stats, err := netns.Stats(att.NetNS)
	if err != nil || len(stats) != 3 {
		t.Errorf("interfaces %+v, %v", stats, err)
	}
	h.detach(h.manager(), att)
}

func TestBandwidth(t *testing.T) {
	h := newHost(t)
	m := h.manager()
	att := h.pod()
	att.Annotations = map[string]string{IngressBandwidthAnnotation: "10M"}
	if _, err := m.Attach(context.Background(), att); err != nil {
		if strings.Contains(err.Error(), "not supported") || strings.Contains(err.Error(), "no such file") {
			t.Skipf("kernel has no tbf: %v", err)
		}
		t.Fatal(err)
	}
	out, err := exec.Command("tc", "qdisc").CombinedOutput()
	if err == nil && !strings.Contains(string(out), "rate 10Mbit") {
		t.Errorf("no limit:\n%s", out)
	}
	h.detach(m, att)
}

func TestRefusedBeforeAnySideEffect(t *testing.T) {
	h := newHost(t)
	m := h.manager()
	good := h.pod()
	for name, spoil := range map[string]func(*Attachment){
		"pod ID":    func(a *Attachment) { a.PodID = "../x" },
		"namespace": func(a *Attachment) { a.Namespace = "a;K8S_POD_NAME=b" },
		"port":      func(a *Attachment) { a.Ports = []PortMapping{{Protocol: "tcp", ContainerPort: 1, HostPort: 70000}} },
		"bandwidth": func(a *Attachment) { a.Annotations = map[string]string{EgressBandwidthAnnotation: "fast"} },
	} {
		att := good
		spoil(&att)
		if _, err := m.Attach(context.Background(), att); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	att := good
	att.NetNS = "/nonexistent"
	if _, err := m.Attach(context.Background(), att); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("no namespace: %v", err)
	}
	h.opts.Default.Enabled = false
	if _, err := h.manager().Attach(context.Background(), good); !errdefs.IsUnavailable(err) {
		t.Errorf("no network: %v", err)
	}
}

func TestSetPodCIDR(t *testing.T) {
	h := newHost(t)
	m := h.manager()
	for _, bad := range []string{"x", "10.0.0.0", "10.1.0.0/24,10.2.0.0/24", "10.0.0.1/32", "::ffff:10.0.0.0/120", "10.1.0.0/24,"} {
		if err := m.SetPodCIDR(bad); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	before := h.pod()
	serve(t, before, 8080)
	old := h.attach(m, before)
	if err := m.SetPodCIDR("10.77.3.0/24"); err != nil {
		t.Fatal(err)
	}
	after := h.pod()
	serve(t, after, 8080)
	res := h.attach(m, after)
	if len(res.IPs) != 1 || !netip.MustParsePrefix("10.77.3.0/24").Contains(res.IPs[0]) {
		t.Errorf("addresses %v", res.IPs)
	}
	for _, ip := range []netip.Addr{old.IPs[0], res.IPs[0]} {
		if err := reach(net.JoinHostPort(ip.String(), "8080")); err != nil {
			t.Errorf("reach %v: %v", ip, err)
		}
	}
	h.detach(m, before)
	// The old ranges' bridge is idle now; a first GC only takes note of it.
	for i, want := range []bool{true, false} {
		if err := m.GC(context.Background(), []Attachment{after}); err != nil {
			t.Fatal(err)
		}
		if _, err := netlink.LinkByName("berth0"); (err == nil) != want {
			t.Errorf("bridge after GC %d: %v", i+1, err)
		}
	}
	h.detach(m, after)
}

func BenchmarkAttachDetach(b *testing.B) {
	if os.Getenv(hostNetNS) == "" {
		b.Skip("needs root")
	}
	dir := b.TempDir()
	bin, err := os.Getwd()
	if err != nil {
		b.Fatal(err)
	}
	var plugins []string
	m, err := New(Options{
		ConfDir: dir + "/conf", BinDirs: []string{bin + "/../bin/cni"}, CacheDir: dir + "/cache",
		Default: DefaultNetwork{Enabled: true, DataDir: dir + "/ipam"},
		Observer: Observer{Plugin: func(plugin, verb string, err error, took time.Duration) {
			plugins = append(plugins, fmt.Sprintf("%s %s %v", plugin, verb, took.Round(100*time.Microsecond)))
		}},
	})
	if err != nil {
		b.Fatal(err)
	}
	att := Attachment{PodID: strings.Repeat("a", 64), Namespace: "n", Name: "p", UID: "u", NetNS: netns.Path(dir+"/ns", netns.Net)}
	for range b.N {
		b.StopTimer()
		if err := netns.Create(context.Background(), netns.Spec{Dir: dir + "/ns", Net: true}); err != nil {
			b.Fatal(err)
		}
		plugins = nil
		b.StartTimer()
		if _, err := m.Attach(context.Background(), att); err != nil {
			b.Fatal(err)
		}
		if err := m.Detach(context.Background(), att); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := netns.Remove(context.Background(), dir+"/ns"); err != nil {
			b.Fatal(err)
		}
	}
	b.Log(plugins)
}
