package side

import (
	"fmt"
	"os/exec"
	"strings"
)

// removeRules removes what the bridge plugin has put into iptables' nat table for networks
// whose name begins so: rules and chains of pods that nobody tore down.
func removeRules(prefix string) error {
	out, err := exec.Command("iptables", "-t", "nat", "-S").Output()
	if err != nil {
		return nil // no iptables, no rules
	}
	script := rulesScript(string(out), prefix)
	if script == "" {
		return nil
	}
	cmd := exec.Command("iptables-restore", "--noflush", "--wait")
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("removing iptables rules of %s: %w: %s", prefix, err, out)
	}
	return nil
}

// rulesScript makes a script for iptables-restore out of the rules that "iptables -S"
// lists: the plugin's comments name the network.
func rulesScript(rules, prefix string) string {
	var jumps, chains []string
	seen := map[string]bool{}
	for line := range strings.Lines(rules) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "-A" || !strings.Contains(line, `name: \"`+prefix) {
			continue
		}
		if chain := fields[1]; chain == "POSTROUTING" {
			jumps = append(jumps, "-D"+strings.TrimPrefix(line, "-A"))
		} else if !seen[chain] {
			seen[chain] = true
			chains = append(chains, "-F "+chain+"\n", "-X "+chain+"\n")
		}
	}
	if len(jumps)+len(chains) == 0 {
		return ""
	}
	return "*nat\n" + strings.Join(jumps, "") + strings.Join(chains, "") + "COMMIT\n"
}
