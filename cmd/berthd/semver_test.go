package main

import (
	"testing"

	utilversion "k8s.io/apimachinery/pkg/util/version"
)

// TestSemanticVersion: whatever a build is called, the kubelet can parse its version.
func TestSemanticVersion(t *testing.T) {
	for raw, want := range map[string]string{
		"1bb37fb":                            "0.2.0-dev+1bb37fb",
		"0012345":                            "0.2.0-dev+0012345",
		"1bb37fb-dirty":                      "0.2.0-dev+1bb37fb.dirty",
		"unknown":                            "0.2.0-dev+unknown",
		"":                                   "0.2.0-dev+unknown",
		"(devel)":                            "0.2.0-dev+devel",
		"feature/x y":                        "0.2.0-dev+feature.x.y",
		"v1.2.3":                             "1.2.3",
		"1.2.3-rc.1":                         "1.2.3-rc.1",
		"v1.2.3-dirty":                       "1.2.3+dirty",
		"v0.2.0-5-g1bb37fb":                  "0.2.0+5-g1bb37fb",
		"v0.2.0-rc.1-12-gabcdef":             "0.2.0-rc.1+12-gabcdef",
		"v0.2.0-5-gabc-dirty":                "0.2.0+5-gabc.dirty",
		"v0.0.0-20260905035102-160fafc42237": "0.0.0-20260905035102-160fafc42237",
		"v1.2":                               "0.2.0-dev+v1.2",
	} {
		got := semanticVersion(raw)
		if _, err := utilversion.ParseSemantic(got); err != nil || got != want {
			t.Errorf("%q is %q, want %q: %v", raw, got, want, err)
		}
	}
	if _, err := utilversion.ParseSemantic(version); err != nil {
		t.Errorf("this build: %v", err)
	}
}

// FuzzSemanticVersion: there is no name of a build that cannot be parsed.
func FuzzSemanticVersion(f *testing.F) {
	for _, raw := range []string{"1bb37fb", "v1.2.3-5-gabc", "1.2.3+x", "-", "v1.0.0--dirty"} {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if got := semanticVersion(raw); got == "" {
			t.Error("no version")
		} else if _, err := utilversion.ParseSemantic(got); err != nil {
			t.Errorf("%q is %q: %v", raw, got, err)
		}
	})
}
