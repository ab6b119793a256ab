package main

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/berth-run/berth/config"
)

// unitSettings reads the directives of the unit that make install installs.
func unitSettings(t *testing.T) map[string]string {
	t.Helper()
	unit, err := os.ReadFile("../../deploy/berth.service")
	if err != nil {
		t.Fatal(err)
	}
	settings := map[string]string{}
	for line := range strings.Lines(string(unit)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(key, "#") {
			settings[key] = value
		}
	}
	return settings
}

// TestUnitKeepsPods: a stop, an upgrade, a shim without memory and a daemon that dies often leave the other pods alone.
func TestUnitKeepsPods(t *testing.T) {
	settings := unitSettings(t)
	for key, want := range map[string]string{
		"KillMode": "process", "Delegate": "yes", "TasksMax": "infinity", "OOMPolicy": "continue",
		"ManagedOOMPreference": "omit", "Type": "notify", "NotifyAccess": "main", "StartLimitIntervalSec": "0",
	} {
		if settings[key] != want {
			t.Errorf("%s=%s, want %s", key, settings[key], want)
		}
	}
}

// TestUnitLeavesContainersAlone: no directive gives the unit namespaces of its own, or restricts what containers inherit.
func TestUnitLeavesContainersAlone(t *testing.T) {
	settings := unitSettings(t)
	for _, prefix := range []string{
		"Protect", "Private", "Restrict", "ReadOnly", "ReadWrite", "Inaccessible", "Bind", "NoExec", "Temporary", "Root", "Mount",
		"NoNewPrivileges", "SystemCall", "LockPersonality", "MemoryDeny", "Capability", "Ambient", "Secure", "User", "Group",
		"Nice", "CPU", "IO", "Device", "IPAddress", "SocketBind", "RuntimeDirectory", "StateDirectory",
	} {
		for key, value := range settings {
			if strings.HasPrefix(key, prefix) {
				t.Errorf("%s=%s: see the end of the unit for why it is not set", key, value)
			}
		}
	}
}

// TestUnitRestarts: systemd starts berthd again after each way to die but a mistake that a person has to mend.
func TestUnitRestarts(t *testing.T) {
	if os.Getenv("BERTH_PANICS") != "" {
		panic("as asked for")
	}
	settings := unitSettings(t)
	if settings["Restart"] != "always" || settings["RestartPreventExitStatus"] != strconv.Itoa(exitUsage) {
		t.Errorf("Restart=%s, RestartPreventExitStatus=%s: want always, and %d alone", settings["Restart"], settings["RestartPreventExitStatus"], exitUsage)
	}
	dead := exec.Command(os.Args[0], "-test.run=^TestUnitRestarts$")
	dead.Env = append(os.Environ(), "BERTH_PANICS=1")
	if _, err := dead.CombinedOutput(); err == nil || dead.ProcessState.ExitCode() == exitUsage {
		t.Errorf("a panic ends with %d, which systemd would take for a mistake in the configuration", dead.ProcessState.ExitCode())
	}
}

// TestUnitWaitsForTheStop: systemd kills no daemon that would end itself, with a dump of what hangs, a little later.
func TestUnitWaitsForTheStop(t *testing.T) {
	seconds, err := strconv.Atoi(unitSettings(t)["TimeoutStopSec"])
	if err != nil {
		t.Fatal(err)
	}
	if bound := stopBound(config.Default()); time.Duration(seconds)*time.Second <= bound {
		t.Errorf("systemd waits for %d s, and berthd may take %s to stop", seconds, bound)
	}
}
