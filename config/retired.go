package config

import "strings"

// retired are keys of earlier versions, which nothing reads any more, and why. They are accepted, so
// that the file of an earlier version goes on working.
var retired = map[string]string{
	"cni.check_timeout": "does nothing any more: berthd asks no plugin for a CHECK",
}

// Retired are the keys in the files that do nothing any more, in the order in which they were read.
func (c *Config) Retired() []Problem { return c.retired }

// retire notes a key that is retired, and reports whether it is.
func (r *reader) retire(path []string, line int) bool {
	key := strings.Join(path, ".")
	why, ok := retired[key]
	if ok {
		r.config.retired = append(r.config.retired, Problem{Origin: Origin{File: r.file, Line: line}, Key: key, Message: why})
	}
	return ok
}
