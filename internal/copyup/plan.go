package copyup

import (
	"path"
	"slices"
	"strings"
)

// source is a directory of the image that one or more volumes are filled from.
type source struct {
	// at is the directory's path in the image without links; empty for the image's root.
	at string
	// volumes have the directory's content; the first one gets the copy.
	volumes []Volume
	// covered are paths below at whose content another volume has, and hides.
	covered map[string]bool
	// again reports whether the copy of another volume has the content too.
	again bool
}

// place is a volume and the directory of the image that it leads to.
type place struct {
	volume Volume
	at     string
}

// plan says what is copied for the volumes. It takes time linear in their number, but for sorting them.
func plan(places []place) []*source {
	sources := group(places)
	var above []*source // each below the one before it
	for _, s := range sources {
		for len(above) > 0 && !within(s.at, above[len(above)-1].at) {
			above = above[:len(above)-1]
		}
		if len(above) > 0 {
			s.settle(above[len(above)-1])
		}
		above = append(above, s)
	}
	return sources
}

// group makes one source of the places with the same directory. A directory comes before those below it.
func group(places []place) []*source {
	slices.SortStableFunc(places, func(a, b place) int { return strings.Compare(order(a.at), order(b.at)) })
	var out []*source
	for _, p := range places {
		if n := len(out); n > 0 && out[n-1].at == p.at {
			out[n-1].volumes = append(out[n-1].volumes, p.volume)
			continue
		}
		out = append(out, &source{at: p.at, volumes: []Volume{p.volume}, covered: map[string]bool{}})
	}
	return out
}

// order makes paths sort so that all that is below a directory follows it.
func order(at string) string { return strings.ReplaceAll(at, "/", "\x00") }

// within reports whether the path at is below dir.
func within(at, dir string) bool {
	return dir == "" || strings.HasPrefix(at, dir) && at[len(dir)] == '/'
}

// settle decides whether the copy for outer, the next one above s, leaves out what s copies. It does if
// the container sees a volume of s there whatever else is mounted: the paths that the image declares are below each
// other too. If it doesn't, or if outer itself is in another copy, then s is copied again.
func (s *source) settle(outer *source) {
	rel := strings.TrimPrefix(strings.TrimPrefix(s.at, outer.at), "/")
	hidden := false
	if len(outer.volumes) == 1 {
		want := path.Join(outer.volumes[0].Path, rel)
		hidden = slices.ContainsFunc(s.volumes, func(v Volume) bool { return v.Path == want })
	}
	if hidden {
		outer.covered["/"+rel] = true
	}
	s.again = !hidden || outer.again
}
