package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
)

// LoadOptions says where the configuration comes from.
type LoadOptions struct {
	// File is the file named with --config, which must exist; empty is
	// DefaultFile, which need not.
	File string
	// Overrides are the flags that were given.
	Overrides Overrides
}

// Load reads, completes and validates the configuration. The error lists every
// problem, each on a line that starts with its place.
func Load(opts LoadOptions) (*Config, error) {
	file, required := opts.File, true
	if file == "" {
		file, required = DefaultFile, false
	}
	files, err := sources(file, required)
	if err != nil {
		return nil, err
	}
	c := Default()
	c.origins = make(map[string]Origin)
	var found Problems
	for _, f := range files {
		found = append(found, c.readFile(f)...)
	}
	if len(found) > 0 {
		return nil, found
	}
	opts.Overrides.apply(c)
	c.Complete()
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return c, nil
}

// sources returns the file and its drop-ins, in the order in which they are
// read.
func sources(file string, required bool) ([]string, error) {
	var files []string
	_, err := os.Stat(file)
	switch {
	case err == nil:
		files = append(files, file)
	case required || !errors.Is(err, fs.ErrNotExist):
		return nil, Problems{{Origin: Origin{File: file}, Message: reason(err)}}
	}
	dir := file + ".d"
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, Problems{{Origin: Origin{File: dir}, Message: reason(err)}}
	}
	var dropIns []string
	for _, e := range entries {
		if filepath.Ext(e.Name()) == ".toml" && !e.IsDir() {
			dropIns = append(dropIns, filepath.Join(dir, e.Name()))
		}
	}
	sort.Strings(dropIns)
	return append(files, dropIns...), nil
}

// readFile reads one file on top of what c holds already.
func (c *Config) readFile(name string) Problems {
	data, err := os.ReadFile(name)
	if err != nil {
		return Problems{{Origin: Origin{File: name}, Message: reason(err)}}
	}
	return c.readTOML(name, data)
}

// reason is what an error of a file operation says besides the file's name.
func reason(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return "cannot be read: " + pe.Err.Error()
	}
	return err.Error()
}

// Overrides are values from the command line; nil ones were not given.
type Overrides struct {
	Root, State, Address, MetricsAddress, ContainerdAddress *string
	CNIConfDir, RegistryConfigDir, LogLevel                 *string
	CNIBinDirs                                              []string
}

// apply sets what was given and records that a flag did it.
func (o Overrides) apply(c *Config) {
	for _, f := range []struct {
		flag, key string
		from, to  *string
	}{
		{"--root", "root", o.Root, &c.Root},
		{"--state", "state", o.State, &c.State},
		{"--address", "address", o.Address, &c.Address},
		{"--metrics-address", "metrics.address", o.MetricsAddress, &c.Metrics.Address},
		{"--containerd-address", "containerd.address", o.ContainerdAddress, &c.Containerd.Address},
		{"--cni-conf-dir", "cni.conf_dir", o.CNIConfDir, &c.CNI.ConfDir},
		{"--registry-config-dir", "image.registry_config_dir", o.RegistryConfigDir, &c.Image.RegistryConfigDir},
		{"--log-level", "log.level", o.LogLevel, &c.Log.Level},
	} {
		if f.from != nil {
			*f.to = *f.from
			c.setOrigin(f.key, Origin{Flag: f.flag})
		}
	}
	if o.CNIBinDirs != nil {
		c.CNI.BinDirs = o.CNIBinDirs
		c.setOrigin("cni.bin_dirs", Origin{Flag: "--cni-bin-dir"})
	}
}
