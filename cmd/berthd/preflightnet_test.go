package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPreflightNetworks: a file of a network that pods would not get, although others are there, is a warning.
func TestPreflightNetworks(t *testing.T) {
	standIns(t)
	dir := t.TempDir()
	for file, text := range map[string]string{
		"10.conflist": `{"cniVersion":"1.0.0","name":"a","plugins":[{"type":"runc"}]}`, // any program that is there
		"20.conflist": "{",
	} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path, _, _ := strings.Cut(os.Getenv("PATH"), ":")
	warnings, err := checked(t, fmt.Sprintf("[cni]\nconf_dir = %q\nbin_dirs = [%q]\nmax_confs = 2", dir, path))
	if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "pods are not attached to the network of "+filepath.Join(dir, "20.conflist")) {
		t.Errorf("%v, %q", err, warnings)
	}
}
