package copyup

import (
	"fmt"
	"strings"
	"testing"
)

// TestPlan says for each directory of the image which volumes have its content, what its copy leaves out, and whether
// the content is copied again.
func TestPlan(t *testing.T) {
	for name, c := range map[string]struct {
		places []place
		want   string
	}{
		"apart":             {at("/a", "a", "/b", "b", "/ab", "ab"), "a=/a; ab=/ab; b=/b"},
		"links to one":      {at("/a", "d", "/b", "d", "/d", "d"), "d=/a,/b,/d"},
		"nested":            {at("/a/b/c", "a/b/c", "/a", "a"), "a=/a but b/c; a/b/c=/a/b/c"},
		"nested thrice":     {at("/a/b", "a/b", "/a", "a", "/a/b/c", "a/b/c"), "a=/a but b; a/b=/a/b but c; a/b/c=/a/b/c"},
		"names with dots":   {at("/a", "a", "/a.b", "a.b", "/a/b", "a/b"), "a=/a but b; a/b=/a/b; a.b=/a.b"},
		"below a link":      {at("/l", "a", "/l/b", "a/b"), "a=/l but b; a/b=/l/b"},
		"link below":        {at("/a", "a", "/l", "a/b"), "a=/a; a/b=/l again"},
		"link and path":     {at("/a", "a", "/l", "a/b", "/a/b", "a/b"), "a=/a but b; a/b=/l,/a/b"},
		"nested in two":     {at("/a", "a", "/l", "a", "/a/b", "a/b"), "a=/a,/l; a/b=/a/b again"},
		"below what is not": {at("/a", "a", "/l", "a/b", "/l/c", "a/b/c"), "a=/a; a/b=/l but c again; a/b/c=/l/c again"},
		"the root":          {at("/l", "", "/a", "a"), "=/l; a=/a again"},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, s := range plan(c.places) {
				got = append(got, describe(s))
			}
			if g := strings.Join(got, "; "); g != c.want {
				t.Errorf("got  %s\nwant %s", g, c.want)
			}
		})
	}
}

// at makes places of pairs: the path that the image declares, and where it leads to.
func at(pairs ...string) []place {
	var out []place
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, place{Volume{Path: pairs[i]}, pairs[i+1]})
	}
	return out
}

func describe(s *source) string {
	var paths []string
	for _, v := range s.volumes {
		paths = append(paths, v.Path)
	}
	out := fmt.Sprintf("%s=%s", s.at, strings.Join(paths, ","))
	for rel := range s.covered {
		out += " but " + rel[1:]
	}
	if s.again {
		out += " again"
	}
	return out
}
