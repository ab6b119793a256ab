package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"github.com/berth-run/berth/config"
)

// options are the flags that all commands share.
type options struct {
	flags  *pflag.FlagSet
	config string
}

// addTo declares the flags. Their defaults are the configuration's, so the flags
// themselves have none.
func (o *options) addTo(flags *pflag.FlagSet) {
	o.flags = flags
	add := func(name, kind, usage string) { flags.Var(&text{kind: kind}, name, usage) }
	flags.Var(&text{value: &o.config, kind: "FILE"}, "config",
		"configuration, with drop-ins in FILE.d (default "+config.DefaultFile+")")
	add("root", "DIR", "what survives a reboot (default "+config.DefaultRoot+")")
	add("state", "DIR", "what does not, on a tmpfs (default "+config.DefaultState+")")
	add("address", "SOCKET", "CRI socket (default STATE/berth.sock)")
	add("metrics-address", "HOST:PORT", "/metrics and /healthz; \"\" is none (default "+config.DefaultMetricsAddress+")")
	add("containerd-address", "SOCKET", "containerd to use; \"\" runs one inside berthd (default \"\")")
	add("cni-conf-dir", "DIR", "network configurations (default /etc/cni/net.d)")
	flags.Var(&list{kind: "DIR"}, "cni-bin-dir",
		"CNI plugins; may be repeated (default those shipped with berthd, then /opt/cni/bin)")
	add("registry-config-dir", "DIR", "HOST/hosts.toml files (default /etc/containerd/certs.d)")
	add("log-level", "LEVEL", strings.Join(config.LogLevels(), ", ")+" (default info)")
}

// load returns the configuration that the files and flags make.
func (o *options) load() (*config.Config, error) {
	overrides, err := o.overrides()
	if err != nil {
		return nil, err
	}
	return config.Load(config.LoadOptions{File: o.config, Overrides: overrides})
}

func (o *options) overrides() (config.Overrides, error) {
	v := config.Overrides{
		MetricsAddress: o.text("metrics-address"),
		LogLevel:       o.text("log-level"),
	}
	var err error
	for flag, field := range map[string]**string{
		"root":                &v.Root,
		"state":               &v.State,
		"address":             &v.Address,
		"containerd-address":  &v.ContainerdAddress,
		"cni-conf-dir":        &v.CNIConfDir,
		"registry-config-dir": &v.RegistryConfigDir,
	} {
		if *field = o.text(flag); *field == nil {
			continue
		}
		if strings.HasSuffix(flag, "address") {
			**field, err = socketPath(flag, **field)
		} else {
			**field, err = absolute(**field)
		}
		if err != nil {
			return v, err
		}
	}
	if dirs := o.flags.Lookup("cni-bin-dir").Value.(*list); o.flags.Changed("cni-bin-dir") {
		v.CNIBinDirs = make([]string, len(dirs.values))
		for i, dir := range dirs.values {
			if v.CNIBinDirs[i], err = absolute(dir); err != nil {
				return v, err
			}
		}
	}
	return v, nil
}

// text returns the value of a flag, nil when it was not given.
func (o *options) text(name string) *string {
	if !o.flags.Changed(name) {
		return nil
	}
	value := o.flags.Lookup(name).Value.String()
	return &value
}

// absolute resolves a path from the command line against the working directory,
// as a shell user expects. In files paths have to be absolute.
func absolute(name string) (string, error) {
	if name == "" {
		return "", nil
	}
	return filepath.Abs(name)
}

// socketPath is absolute for a socket, which may have unix:// before it.
func socketPath(flag, name string) (string, error) {
	path := strings.TrimPrefix(name, "unix://")
	if strings.Contains(path, "://") {
		return "", usageError{fmt.Errorf("--%s must be the path of a unix socket, with or without unix:// before it, is %q", flag, name)}
	}
	return absolute(path)
}

// text is a flag with one value; kind stands for the value in --help.
type text struct {
	value *string
	kind  string
}

// String implements pflag.Value.
func (t *text) String() string {
	if t.value == nil {
		return ""
	}
	return *t.value
}

// Set implements pflag.Value.
func (t *text) Set(s string) error {
	if t.value == nil {
		t.value = new(string)
	}
	*t.value = s
	return nil
}

// Type implements pflag.Value.
func (t *text) Type() string { return t.kind }

// list is a flag that may be repeated.
type list struct {
	values []string
	kind   string
}

// String implements pflag.Value.
func (l *list) String() string { return strings.Join(l.values, ",") }

// Set implements pflag.Value.
func (l *list) Set(s string) error {
	l.values = append(l.values, strings.Split(s, ",")...)
	return nil
}

// Type implements pflag.Value.
func (l *list) Type() string { return l.kind }
