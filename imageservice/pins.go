package imageservice

import (
	"strings"

	"github.com/distribution/reference"
)

// Pins are the images that the configuration pins (image.pinned).
type Pins struct {
	names    map[string]bool // references in full, and IDs
	prefixes []string        // of references
}

// ParsePins reads image references, IDs, and beginnings of references with a * behind them. What is
// none of them is an errdefs.ErrInvalidArgument.
func ParsePins(entries []string) (Pins, error) {
	p := Pins{names: map[string]bool{}}
	for _, e := range entries {
		if prefix, ok := strings.CutSuffix(e, "*"); ok {
			p.prefixes = append(p.prefixes, prefix)
			continue
		}
		if isFullID(e) {
			p.names[e] = true
			continue
		}
		named, err := parseRef(e)
		if err != nil {
			return Pins{}, err
		}
		p.names[named.String()] = true
	}
	return p, nil
}

// match reports whether a reference or an ID is pinned. A beginning may be written as people write
// references of Docker Hub, without the parts that are left out there.
func (p Pins) match(name string) bool {
	if p.names[name] {
		return true
	}
	if len(p.prefixes) == 0 {
		return false
	}
	short := name
	if named, err := reference.ParseNormalizedNamed(name); err == nil {
		short = reference.FamiliarString(named)
	}
	for _, prefix := range p.prefixes {
		if strings.HasPrefix(name, prefix) || strings.HasPrefix(short, prefix) {
			return true
		}
	}
	return false
}
