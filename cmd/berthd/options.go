package main

import (
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

func (o *options) addTo(flags *pflag.FlagSet) {
	o.flags = flags
	flags.SortFlags = false
	flags.StringVar(&o.config, "config", "", "configuration `FILE`, with drop-ins in FILE.d (default "+config.DefaultFile+")")
	flags.String("root", "", "`DIR`ectory of what survives a reboot (default "+config.DefaultRoot+")")
	flags.String("state", "", "`DIR`ectory of what does not, on tmpfs (default "+config.DefaultState+")")
	flags.String("address", "", "`SOCKET` of the CRI (default STATE/berth.sock)")
	flags.String("metrics-address", "", "`HOST:PORT` of /metrics; \"\" is none (default "+config.DefaultMetricsAddress+")")
	flags.String("containerd-address", "", "`SOCKET` of a containerd to use (default: one runs inside berthd)")
	flags.String("cni-conf-dir", "", "`DIR`ectory of network configurations (default /etc/cni/net.d)")
	flags.StringSlice("cni-bin-dir", nil, "`DIR`ectory of CNI plugins; may be repeated (default: those shipped with berthd, then /opt/cni/bin)")
	flags.String("registry-config-dir", "", "`DIR`ectory of HOST/hosts.toml files (default /etc/containerd/certs.d)")
	flags.String("log-level", "", "lowest `LEVEL` to log: "+strings.Join(config.LogLevels(), ", ")+" (default info)")
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
		if **field, err = absolute(**field); err != nil {
			return v, err
		}
	}
	if o.flags.Changed("cni-bin-dir") {
		dirs, err := o.flags.GetStringSlice("cni-bin-dir")
		if err != nil {
			return v, err
		}
		v.CNIBinDirs = make([]string, len(dirs))
		for i, dir := range dirs {
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
	const scheme = "unix://"
	if name == "" {
		return "", nil
	}
	return filepath.Abs(strings.TrimPrefix(name, scheme))
}
