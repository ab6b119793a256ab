package imageservice

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	dockerconfig "github.com/containerd/containerd/v2/core/remotes/docker/config"
	"github.com/containerd/errdefs"
	"github.com/pelletier/go-toml/v2"

	"github.com/berth-run/berth/internal/budget"
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

// readHostsFile reads the hosts.toml of a registry and refuses one with mistakes. The library would
// log them and go on as if the file were not there, straight to the upstream registry. Without a
// file it returns an empty one.
func readHostsFile(root, domain string) (hostsFile, error) {
	var parsed hostsFile
	dir, err := dockerconfig.HostDirFromRoot(root)(domain)
	if err != nil || dir == "" {
		return parsed, nil
	}
	path := filepath.Join(dir, "hosts.toml")
	f, err := os.Open(path)
	if err != nil {
		return parsed, nil // no file is no mistake
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, budget.HostsFile+1))
	if err == nil {
		parsed, err = parseHostsFile(text)
	}
	if err != nil {
		return parsed, fmt.Errorf("registry configuration %s: %s: %w", path, where(err), errdefs.ErrInvalidArgument)
	}
	return parsed, nil
}

// parseHostsFile decodes and checks a hosts.toml.
func parseHostsFile(text []byte) (hostsFile, error) {
	var parsed hostsFile
	if len(text) > budget.HostsFile {
		return parsed, fmt.Errorf("longer than %d bytes", budget.HostsFile)
	}
	if err := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields().Decode(&parsed); err != nil {
		return parsed, err
	}
	return parsed, parsed.check(string(text))
}

// plain reports whether the file says that the registry itself is spoken to without encryption.
func (f hostsFile) plain() bool { return strings.HasPrefix(strings.ToLower(f.Server), "http://") }

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
