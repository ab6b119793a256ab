package host

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"regexp"
	"strings"
)

var (
	counter = regexp.MustCompile(`counter packets \d+ bytes \d+ ?`)
	address = regexp.MustCompile(`[0-9a-fA-F]*[:.][0-9a-fA-F:.]+(/\d+)?`)
)

// rules counts firewall rules that name an address or a bridge of the runtime. Those of
// iptables are among them where it is iptables-nft. Tables and chains that plugins make
// once and for all do not count.
func rules(ctx context.Context, scope Scope, s Snapshot) error {
	out, err := exec.CommandContext(ctx, "nft", "list", "ruleset").CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("listing firewall rules: %w: %s", err, out)
	}
	table, chain := "", ""
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		switch name, open := strings.CutSuffix(line, " {"); {
		case open && strings.HasPrefix(name, "table "):
			table = name
		case open:
			chain = name
		case strings.HasPrefix(table, "table ip berth_loopback_"): // goes with its bridge, which stays
		case scope.mentioned(line):
			s.add("rule", "in %s, %s: %s", table, chain, counter.ReplaceAllString(line, ""))
		}
	}
	return nil
}

// mentioned reports whether a rule is about the scope's pods.
func (scope Scope) mentioned(rule string) bool {
	if hasAny(rule, scope.Bridges) {
		return true
	}
	for _, text := range address.FindAllString(rule, -1) {
		text, _, _ = strings.Cut(text, "/")
		addr, err := netip.ParseAddr(strings.TrimRight(text, ":."))
		if err == nil && scope.contains(addr) {
			return true
		}
	}
	return false
}

func (scope Scope) contains(addr netip.Addr) bool {
	for _, subnet := range scope.Subnets {
		if subnet.Contains(addr) {
			return true
		}
	}
	return false
}
