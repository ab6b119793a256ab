package main

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// TestUnitRestarts: systemd starts berthd again after each way to die but a mistake that a person has to mend.
func TestUnitRestarts(t *testing.T) {
	if os.Getenv("BERTH_PANICS") != "" {
		panic("as asked for")
	}
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
	if settings["Restart"] != "always" || settings["RestartPreventExitStatus"] != strconv.Itoa(exitUsage) {
		t.Errorf("Restart=%s, RestartPreventExitStatus=%s: want always, and %d alone", settings["Restart"], settings["RestartPreventExitStatus"], exitUsage)
	}
	dead := exec.Command(os.Args[0], "-test.run=^TestUnitRestarts$")
	dead.Env = append(os.Environ(), "BERTH_PANICS=1")
	if _, err := dead.CombinedOutput(); err == nil || dead.ProcessState.ExitCode() == exitUsage {
		t.Errorf("a panic ends with %d, which systemd would take for a mistake in the configuration", dead.ProcessState.ExitCode())
	}
}
