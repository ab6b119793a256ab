package config

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/berth-run/berth/internal/statedir"
)

var cgroupDrivers = []string{string(CgroupAuto), string(CgroupSystemd), string(CgroupCgroupfs)}

// LogLevels returns the values of log.level, the quietest first.
func LogLevels() []string { return []string{"error", "warn", "info", "debug", "trace"} }

func (v *validator) absolute(key, dir string) bool {
	if !filepath.IsAbs(dir) {
		v.complain(key, "must be an absolute path, is %q", dir)
		return false
	}
	return true
}

func (v *validator) socket(key, name string) {
	if v.absolute(key, name) && len(name) > statedir.MaxSocketPath {
		v.complain(key, "is too long for a unix socket: %d bytes, %d are possible", len(name), statedir.MaxSocketPath)
	}
}

func (v *validator) oneOf(key, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		v.complain(key, "must be one of %s, is %q", strings.Join(allowed, ", "), value)
	}
}

func (v *validator) tristate(key string, value Tristate) {
	v.oneOf(key, string(value), string(Auto), string(Yes), string(No))
}

func (v *validator) word(key, value string) {
	if !wordPattern.MatchString(value) {
		v.complain(key, "must be a name of letters, digits, '.', '_' and '-', is %q", value)
	}
}

func (v *validator) positive(key string, d Duration) {
	if d.Duration <= 0 {
		v.complain(key, "must be positive, is %q", d)
	}
}

func (v *validator) durationNotNegative(key string, d Duration) {
	if d.Duration < 0 {
		v.complain(key, "must not be negative, is %q", d)
	}
}

func (v *validator) notNegative(key string, n int64) { v.atLeast(key, n, 0) }

func (v *validator) atLeast(key string, n, least int64) {
	if n < least {
		v.complain(key, "must be at least %d, is %d", least, n)
	}
}

// tls checks that a server's TLS files were given as far as they need each other.
func (v *validator) tls(section, cert, key, clientCA string) {
	files := []struct{ key, name string }{
		{section + ".tls_cert_file", cert}, {section + ".tls_key_file", key}, {section + ".tls_client_ca_file", clientCA},
	}
	for _, f := range files {
		if f.name != "" {
			v.absolute(f.key, f.name)
		}
	}
	switch {
	case cert != "" && key == "":
		v.complain(files[0].key, "needs %s too", files[1].key)
	case key != "" && cert == "":
		v.complain(files[1].key, "needs %s too", files[0].key)
	case clientCA != "" && cert == "":
		v.complain(files[2].key, "needs %s and %s too", files[0].key, files[1].key)
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
