package imageservice

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	dockerconfig "github.com/containerd/containerd/v2/core/remotes/docker/config"
	"github.com/containerd/errdefs"
	"github.com/pelletier/go-toml/v2"
)

// hostsTable are the keys a hosts.toml may have at the top and per host.
type hostsTable struct {
	Capabilities []string       `toml:"capabilities"`
	CA           any            `toml:"ca"`
	Client       any            `toml:"client"`
	SkipVerify   *bool          `toml:"skip_verify"`
	Header       map[string]any `toml:"header"`
	OverridePath bool           `toml:"override_path"`
	DialTimeout  string         `toml:"dial_timeout"`
}

type hostsFile struct {
	hostsTable
	Server string                `toml:"server"`
	Host   map[string]hostsTable `toml:"host"`
}

// checkHostsFile refuses a hosts.toml with mistakes. The library would log them
// and go on as if the file were not there, straight to the upstream registry.
func checkHostsFile(root, domain string) error {
	dir, err := dockerconfig.HostDirFromRoot(root)(domain)
	if err != nil || dir == "" {
		return nil
	}
	path := filepath.Join(dir, "hosts.toml")
	text, err := os.ReadFile(path)
	if err != nil {
		return nil // no file is no mistake
	}
	var parsed hostsFile
	err = toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields().Decode(&parsed)
	if err == nil {
		err = parsed.check(string(text))
	}
	if err == nil {
		return nil
	}
	return fmt.Errorf("registry configuration %s: %s: %w", path, where(err), errdefs.ErrInvalidArgument)
}

// where puts the line in front of a decoding error.
func where(err error) string {
	detail := err.Error()
	var strict *toml.StrictMissingError
	var decode *toml.DecodeError
	switch {
	case errors.As(err, &strict) && len(strict.Errors) > 0:
		row, _ := strict.Errors[0].Position()
		detail = fmt.Sprintf("line %d: unknown key %q", row, strings.Join(strict.Errors[0].Key(), "."))
	case errors.As(err, &decode):
		row, _ := decode.Position()
		detail = fmt.Sprintf("line %d: %v", row, decode)
	}
	return detail
}

// check looks at the values that decoding lets through.
func (f hostsFile) check(text string) error {
	tables := map[string]hostsTable{f.Server: f.hostsTable}
	for name, t := range f.Host {
		if name == "" {
			return errors.New("a host without a name")
		}
		tables[name] = t
	}
	for name, t := range tables {
		if u, err := url.Parse(name); err != nil || (strings.Contains(name, "://") && (u.Host == "" || (u.Scheme != "http" && u.Scheme != "https"))) {
			return atLine(text, name, "host %q is no http or https address", name)
		}
		for _, c := range t.Capabilities {
			if !slices.Contains([]string{"pull", "resolve", "push", "referrers"}, strings.ToLower(c)) {
				return atLine(text, c, "unknown capability %q, want pull, resolve, push or referrers", c)
			}
		}
		if t.DialTimeout != "" {
			if _, err := time.ParseDuration(t.DialTimeout); err != nil {
				return atLine(text, t.DialTimeout, "dial_timeout: %v", err)
			}
		}
	}
	return nil
}

// atLine is an error about the first line with this value.
func atLine(text, value, format string, args ...any) error {
	for i, line := range strings.Split(text, "\n") {
		if strings.Contains(line, value) {
			return fmt.Errorf("line %d: "+format, append([]any{i + 1}, args...)...)
		}
	}
	return fmt.Errorf(format, args...)
}
