package config

import (
	"fmt"
	"strings"

	"github.com/containerd/errdefs"
)

// Origin is where a value was set.
type Origin struct {
	// File and Line of the key; File is empty when the value came from a flag, or
	// from nowhere but the defaults.
	File string
	Line int
	// Flag is the flag that set the value, such as "--root".
	Flag string
}

// String is the place as it begins an error message: "FILE:LINE" or the flag.
func (o Origin) String() string {
	switch {
	case o.Flag != "":
		return o.Flag
	case o.File != "" && o.Line > 0:
		return fmt.Sprintf("%s:%d", o.File, o.Line)
	default:
		return o.File
	}
}

// Problem is one thing that is wrong with the configuration.
type Problem struct {
	// Origin is where it was written.
	Origin Origin
	// Key is the dotted key, empty when the file as a whole is the problem.
	Key string
	// Message says what is wrong, and what would be right.
	Message string
}

// String is "FILE:LINE: KEY: MESSAGE".
func (p Problem) String() string {
	parts := make([]string, 0, 3)
	for _, s := range []string{p.Origin.String(), p.Key, p.Message} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	return strings.Join(parts, ": ")
}

// Problems is the error of Load and Validate: all that is wrong, one a line. It
// is an errdefs.ErrInvalidArgument.
type Problems []Problem

// Error lists the problems.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}

// Unwrap classifies the error.
func (p Problems) Unwrap() error { return errdefs.ErrInvalidArgument }

// Origin returns where the value of a dotted key, or of the innermost table
// around it, was set, and false when it is a default.
func (c *Config) Origin(key string) (Origin, bool) {
	for {
		if o, ok := c.origins[key]; ok {
			return o, true
		}
		i := strings.LastIndexByte(key, '.')
		if i < 0 {
			return Origin{}, false
		}
		key = key[:i]
	}
}

// isSet reports whether the key itself was written in a file or given as a flag.
func (c *Config) isSet(key string) bool {
	_, ok := c.origins[key]
	return ok
}

func (c *Config) setOrigin(key string, o Origin) {
	if c.origins == nil {
		c.origins = make(map[string]Origin)
	}
	c.origins[key] = o
}
