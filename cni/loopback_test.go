package cni

import (
	"context"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
)

// loopbackRules are the rules between the pods and 127.0.0.0/8.
func loopbackRules(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("nft", "list", "ruleset").CombinedOutput()
	if err != nil {
		t.Fatalf("nft: %v: %s", err, out)
	}
	_, table, _ := strings.Cut(string(out), "table ip berth_loopback_berth0 {")
	table, _, _ = strings.Cut(table, "\n}")
	return table
}

// TestLoopbackRules: the rules come with the first published IPv4 port, are made again when they were flushed, and
// go with the bridge.
func TestLoopbackRules(t *testing.T) {
	h := newHost(t)
	m := h.manager()
	plain := h.pod()
	h.attach(m, plain)
	if got := loopbackRules(t); got != "" {
		t.Errorf("rules without a published port:\n%s", got)
	}
	publishing := h.pod()
	publishing.Ports = []PortMapping{{Protocol: "tcp", ContainerPort: 80, HostPort: 18080}}
	h.attach(m, publishing)
	first := loopbackRules(t)
	if strings.Count(first, "drop") != 2 || !strings.Contains(first, `iifname "berth0" ip daddr 127.0.0.0/8`) {
		t.Errorf("rules with a published port:\n%s", first)
	}
	if out, err := exec.Command("nft", "flush", "ruleset").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := m.GC(context.Background(), []Attachment{plain, publishing}); err != nil {
		t.Error(err)
	}
	if again := loopbackRules(t); again != first {
		t.Errorf("rules after a flush and GC:\n%s\nwere\n%s", again, first)
	}
	h.detach(m, plain)
	h.detach(m, publishing)
	if err := m.RemoveBridges(); err != nil {
		t.Error(err)
	}
	if out, err := exec.Command("nft", "list", "ruleset").CombinedOutput(); err != nil || strings.Contains(string(out), "berth_loopback") {
		t.Errorf("the table is left without its bridge (%v):\n%s", err, out)
	}
}

func TestPublishesIPv4(t *testing.T) {
	for want, ports := range map[bool][][]PortMapping{
		true: {
			{{HostPort: 80}},
			{{HostPort: 80, HostIP: netip.MustParseAddr("0.0.0.0")}},
			{{HostPort: 80, HostIP: netip.MustParseAddr("::1")}, {HostPort: 80, HostIP: netip.MustParseAddr("::ffff:10.0.0.1")}},
		},
		false: {nil, {{ContainerPort: 80}}, {{HostPort: 80, HostIP: netip.MustParseAddr("::")}}},
	} {
		for _, p := range ports {
			if got := publishesIPv4(p); got != want {
				t.Errorf("%v: %v", p, got)
			}
		}
	}
}
