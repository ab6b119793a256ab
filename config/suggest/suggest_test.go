package suggest

import "testing"

func TestNearest(t *testing.T) {
	candidates := []string{"root", "state", "registry_config_dir", "log"}
	for word, want := range map[string]string{
		"rot":                  "root",
		"Stat":                 "state",
		"registry_config_path": "registry_config_dir",
		"lgo":                  "log",
		"kubelet":              "",
		"":                     "",
	} {
		if got := Nearest(word, candidates); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", word, got, want)
		}
	}
}
