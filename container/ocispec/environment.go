package ocispec

import "strings"

// environment is a list of KEY=value in the order in which keys first came. Adding an entry costs
// the same however many there are: the image's list is foreign.
type environment struct {
	list []string
	at   map[string]int
}

func newEnvironment(size int) environment {
	return environment{list: make([]string, 0, size), at: make(map[string]int, size)}
}

func (e *environment) set(key, value string) {
	if i, ok := e.at[key]; ok {
		e.list[i] = key + "=" + value
		return
	}
	e.at[key] = len(e.list)
	e.list = append(e.list, key+"="+value)
}

func (e *environment) setDefault(key, value string) {
	if _, ok := e.at[key]; !ok {
		e.set(key, value)
	}
}

// add takes KEY=value; an entry without "=" has no meaning in an image and is left out.
func (e *environment) add(entries ...string) {
	for _, entry := range entries {
		if key, value, ok := strings.Cut(entry, "="); ok && key != "" {
			e.set(key, value)
		}
	}
}
