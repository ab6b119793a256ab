package config

// LoadOptions says where the configuration comes from.
type LoadOptions struct {
	// File is the file named with --config, which must exist; empty is
	// DefaultFile, which need not.
	File string
	// Overrides are the flags that were given.
	Overrides Overrides
}

// Overrides are values from the command line; nil ones were not given.
type Overrides struct {
	Root, State, Address, MetricsAddress, ContainerdAddress *string
	CNIConfDir, RegistryConfigDir, LogLevel                 *string
	CNIBinDirs                                              []string
}

// Load reads, completes and validates the configuration. The error lists every
// problem, each on a line that starts with its place.
func Load(opts LoadOptions) (*Config, error) {
	c := Default()
	c.Complete()
	return c, c.Validate()
}

// Origin is where a value was set.
type Origin struct {
	// File and Line of the key; File is empty when the value came from a flag.
	File string
	Line int
	// Flag is the flag that set the value, such as "--root".
	Flag string
}

// Complete fills in the defaults that follow other keys. Load does this; only
// who makes a Config by hand has to.
func (c *Config) Complete() {}

// Validate checks that every value can work, as far as that can be seen without
// touching the system.
func (c *Config) Validate() error { return nil }

// Marshal renders the configuration as TOML, every key in it.
func (c *Config) Marshal() ([]byte, error) { return nil, nil }
