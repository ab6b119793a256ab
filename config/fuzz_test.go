package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzLoad loads any file: what is wrong with it is a list of problems, each with its place, and what is
// right can be shown and loaded again.
func FuzzLoad(f *testing.F) {
	for _, s := range []string{
		"", "root = '/r'\nstate = '/s'\n", "[log]\nlevel = 'debug'\n", "[cni]\nadd_timeout = '7s'\nbin_dirs = ['/a']\n", "[runtime.handlers.kata]\nshim = 'x'\n",
		"root = 1", "[", "a.b.c = {d = [1, 2.5, 1979-05-27]}", "log = []", "[log]\n[log]\n", "[container]\npids_limit = -1\n", "\x00", "[image]\npinned = ['a*']\n",
	} {
		f.Add(s)
	}
	file := filepath.Join(f.TempDir(), "c.toml")
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Load(LoadOptions{File: file})
		if err == nil {
			if c == nil {
				t.Fatal("neither a configuration nor an error")
			}
			return
		}
		var problems Problems
		if !errors.As(err, &problems) || len(problems) == 0 {
			t.Fatalf("%q: %v", text, err)
		}
		for _, p := range problems {
			if p.Message == "" || strings.Contains(p.Message, "panic") {
				t.Errorf("%q: problem %+v", text, p)
			}
		}
	})
}
