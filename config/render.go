package config

import (
	"bytes"
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// Marshal renders the configuration as TOML with every key, and after each key
// that was set a comment that says where.
func (c *Config) Marshal() ([]byte, error) {
	var b bytes.Buffer
	for _, s := range c.sections() {
		if len(s.entries) == 0 {
			continue
		}
		writeHeader(&b, s)
		for _, e := range s.entries {
			line, err := assignment(e)
			if err != nil {
				return nil, err
			}
			if o, ok := c.origins[e.key]; ok {
				line += "  # " + o.String()
			}
			fmt.Fprintln(&b, line)
		}
	}
	return b.Bytes(), nil
}

// MarshalDefault renders the defaults as a TOML file that explains every key.
// Keys whose defaults follow others are commented out, so that they go on doing
// so in a file that starts as a copy of this.
func MarshalDefault() ([]byte, error) {
	plain, completed := Default(), Default()
	completed.Complete()
	follows := followers(plain, completed)
	var b bytes.Buffer
	for _, s := range completed.sections() {
		if len(s.entries) == 0 && s.doc == "" {
			continue
		}
		writeHeader(&b, s, comment(s.doc))
		for i, e := range s.entries {
			line, err := assignment(e)
			if err != nil {
				return nil, err
			}
			if follows[e.key] {
				line = "# " + line
			}
			if i > 0 && e.doc != "" {
				fmt.Fprintln(&b)
			}
			fmt.Fprint(&b, comment(e.doc), line, "\n")
		}
	}
	return b.Bytes(), nil
}

// followers returns the keys whose values Complete chose, and those of state's.
func followers(plain, completed *Config) map[string]bool {
	before := plain.values()
	keys := map[string]bool{"metrics.address": true}
	for key, value := range completed.values() {
		if before[key] != value {
			keys[key] = true
		}
	}
	return keys
}

// values returns all keys with their values as TOML.
func (c *Config) values() map[string]string {
	values := make(map[string]string)
	for _, s := range c.sections() {
		for _, e := range s.entries {
			line, err := assignment(e)
			if err != nil {
				line = err.Error()
			}
			values[e.key] = line
		}
	}
	return values
}

// Changed returns the dotted keys, sorted, whose values differ between c and
// other.
func (c *Config) Changed(other *Config) []string {
	a, b := c.values(), other.values()
	changed := make(map[string]bool)
	for key, value := range a {
		if b[key] != value {
			changed[key] = true
		}
	}
	for key := range b {
		if _, ok := a[key]; !ok {
			changed[key] = true
		}
	}
	return sortedKeys(changed)
}

// Reloadable reports whether a changed key takes effect on SIGHUP; all others
// need a restart, which leaves pods running.
func Reloadable(key string) bool { return key == "log.level" }

func writeHeader(b *bytes.Buffer, s section, comments ...string) {
	if s.name == "" {
		return
	}
	if b.Len() > 0 {
		fmt.Fprintln(b)
	}
	fmt.Fprint(b, strings.Join(comments, ""))
	if len(s.entries) > 0 {
		fmt.Fprintf(b, "[%s]\n", s.name)
	} else {
		fmt.Fprintf(b, "# [%s]\n", s.name)
	}
}

// assignment renders "key = value" with the last part of the key.
func assignment(e entry) (string, error) {
	value := e.value.Interface()
	if e.value.Kind() == reflect.Slice && e.value.IsNil() {
		value = []string{}
	}
	out, err := toml.Marshal(map[string]any{"v": value})
	if err != nil {
		return "", fmt.Errorf("rendering %s: %w", e.key, err)
	}
	name := e.key[strings.LastIndexByte(e.key, '.')+1:]
	rendered := strings.TrimPrefix(strings.TrimSpace(string(out)), "v")
	if !strings.Contains(rendered, `"`) {
		rendered = plainLiteral.ReplaceAllString(rendered, `"$1"`)
	}
	return name + rendered, nil
}

// plainLiteral is a TOML literal string that means the same in double quotes,
// which people expect.
var plainLiteral = regexp.MustCompile(`'([^'"\\]*)'`)

// comment breaks a text into TOML comment lines.
func comment(text string) string {
	const width = 78
	var b strings.Builder
	column := 0
	for _, word := range strings.Fields(text) {
		if column > 0 && column+1+len(word) > width {
			b.WriteByte('\n')
			column = 0
		}
		if column == 0 {
			b.WriteByte('#')
			column = 1
		}
		b.WriteString(" " + word)
		column += 1 + len(word)
	}
	if column > 0 {
		b.WriteByte('\n')
	}
	return b.String()
}
