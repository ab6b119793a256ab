package config

import (
	"fmt"

	"github.com/pelletier/go-toml/v2"
)

// Object is the configuration by section and key, as in the file, in the types that JSON knows.
func (c *Config) Object() (map[string]any, error) {
	text, err := c.Marshal()
	if err != nil {
		return nil, err
	}
	object := map[string]any{}
	if err := toml.Unmarshal(text, &object); err != nil {
		return nil, fmt.Errorf("read back the configuration: %w", err)
	}
	return object, nil
}

// Sources says for each dotted key that was set where it was set.
func (c *Config) Sources() map[string]string {
	out := make(map[string]string, len(c.origins))
	for key, o := range c.origins {
		out[key] = o.String()
	}
	return out
}
