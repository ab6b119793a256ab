package critest

import (
	"regexp"
	"strings"
	"testing"
)

// Expectation is an outcome other than a pass that the machine explains.
type Expectation struct {
	// Name and Message match the test's name and what it says.
	Name, Message *regexp.Regexp
	// Reason is why; the README gives it, too.
	Reason string
}

// Expected lists the outcomes that are not the runtime's fault. Everything else must
// pass.
func Expected() []Expectation {
	return []Expectation{
		{
			regexp.MustCompile(`^AppArmor `), regexp.MustCompile(`AppArmor is disabled on this host`),
			"the kernel has no AppArmor",
		},
		{
			regexp.MustCompile(`^SELinux `), regexp.MustCompile(`(?i)selinux is not enabled`),
			"the kernel has no SELinux",
		},
		{
			regexp.MustCompile(`^NRI `), regexp.MustCompile(`NRI socket not configured`),
			"Berth has no node resource interface: it takes no plugins",
		},
		{
			regexp.MustCompile(`^Image Volume .* should reject Image Volume with Readonly set to false`),
			regexp.MustCompile(`accepted Image Volume with Readonly=false`),
			"both peers accept it; what Berth mounts is read-only whatever the request says",
		},
		{
			regexp.MustCompile(`^Image Manager public image with digest should be pulled and removed`), regexp.MustCompile(`.`),
			"pulls an upstream image by a fixed digest, which no local registry has",
		},
	}
}

// Judge makes every test of the suite a subtest of t. One that failed or was skipped
// fails it, unless it is expected: then it is skipped, with the reason.
func Judge(t *testing.T, result *Result, expected []Expectation) {
	t.Helper()
	for _, spec := range result.Passed {
		t.Run(shortName(spec.Name), func(t *testing.T) { t.Log("took", spec.Duration) })
	}
	for state, specs := range map[string][]Spec{"failed": result.Failed, "skipped itself": result.Skipped} {
		for _, spec := range specs {
			t.Run(shortName(spec.Name), func(t *testing.T) {
				if reason := explain(spec, expected); reason != "" {
					t.Skip(reason)
				}
				t.Errorf("%s: %s (%s)", state, spec.Message, spec.Location)
			})
		}
	}
	if len(result.Passed) == 0 {
		t.Error("no test of the validation suite passed")
	}
}

// explain returns the reason of the expectation that fits, or "".
func explain(spec Spec, expected []Expectation) string {
	for _, e := range expected {
		if e.Name.MatchString(shortName(spec.Name)) && e.Message.MatchString(spec.Message) {
			return e.Reason
		}
	}
	return ""
}

func shortName(name string) string { return strings.TrimPrefix(name, "[k8s.io] ") }
