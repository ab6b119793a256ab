package users

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"

	"github.com/berth-run/berth/internal/budget"
)

// files is a root filesystem for tests.
type files map[string]string

func (f files) Open(path string, limit int64) (io.ReadCloser, error) {
	s, ok := f[path]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return io.NopCloser(strings.NewReader(s)), nil
}

const passwd = `root:x:0:0:root:/root:/bin/sh
# a comment
daemon:x:1:1::relative/home:/bin/false
app:x:1000:1001:App:/home/app:/bin/sh

1000:x:77:78::/odd:/bin/sh
broken:x:notanumber:5::/:
short
huge:x:4294967296:1::/:
nobody:x:65534:65534:nobody:/nonexistent:/bin/false
`

const group = `root:x:0:
# wheel:x:10:app
wheel:x:10:root,app
appgroup:x:1001:
video:x:44:app,other
bad:x:none:app
huge:x:99999999999:app
`

func TestLookup(t *testing.T) {
	image := files{passwdPath: passwd, groupPath: group}
	for _, c := range []struct {
		name  string
		root  FS
		spec  UserSpec
		want  Resolved
		check func(error) bool
	}{
		{name: "empty is root", root: image, want: Resolved{Name: "root", AdditionalGIDs: []uint32{0, 10}}},
		{name: "name", root: image, spec: UserSpec{User: "app"},
			want: Resolved{UID: 1000, GID: 1001, Name: "app", AdditionalGIDs: []uint32{1001, 10, 44}}},
		{name: "number finds its name and groups", root: image, spec: UserSpec{User: "1000"},
			want: Resolved{UID: 1000, GID: 1001, Name: "app", AdditionalGIDs: []uint32{1001, 10, 44}}},
		{name: "strict leaves the image's groups out", root: image, spec: UserSpec{User: "app", Strict: true, SupplementalGroups: []int64{5000, 1001}},
			want: Resolved{UID: 1000, GID: 1001, Name: "app", AdditionalGIDs: []uint32{1001, 5000}}},
		{name: "merge adds the request's groups once", root: image, spec: UserSpec{User: "app", SupplementalGroups: []int64{44, 5000, 5000}},
			want: Resolved{UID: 1000, GID: 1001, Name: "app", AdditionalGIDs: []uint32{1001, 10, 44, 5000}}},
		{name: "group by name", root: image, spec: UserSpec{User: "app", Group: "video"},
			want: Resolved{UID: 1000, GID: 44, Name: "app", AdditionalGIDs: []uint32{44, 10}}},
		{name: "group by number", root: image, spec: UserSpec{User: "0", Group: "4711"},
			want: Resolved{GID: 4711, Name: "root", AdditionalGIDs: []uint32{4711, 10}}},
		{name: "unlisted number", root: image, spec: UserSpec{User: "4242"},
			want: Resolved{UID: 4242, AdditionalGIDs: []uint32{0}}},
		{name: "relative home", root: image, spec: UserSpec{User: "daemon"},
			want: Resolved{UID: 1, GID: 1, Name: "daemon", AdditionalGIDs: []uint32{1}}},
		{name: "no files", root: files{}, spec: UserSpec{User: "12", Group: "13"},
			want: Resolved{UID: 12, GID: 13, AdditionalGIDs: []uint32{13}}},
		{name: "no root needed", spec: UserSpec{User: "12", Group: "13", Strict: true, SupplementalGroups: []int64{14}},
			want: Resolved{UID: 12, GID: 13, AdditionalGIDs: []uint32{13, 14}}},
		{name: "a name of digits where a name is asked for", root: image, spec: UserSpec{User: "1000", UserMustBeName: true},
			want: Resolved{UID: 77, GID: 78, Name: "1000", AdditionalGIDs: []uint32{78}}},

		{name: "unknown name", root: image, spec: UserSpec{User: "nosuch", Image: "docker.io/library/x"}, check: errdefs.IsNotFound},
		{name: "unknown name without files", root: files{}, spec: UserSpec{User: "root"}, check: errdefs.IsNotFound},
		{name: "number where a name is asked for", root: image, spec: UserSpec{User: "65534", UserMustBeName: true}, check: errdefs.IsNotFound},
		{name: "empty where a name is asked for", root: image, spec: UserSpec{UserMustBeName: true}, check: errdefs.IsNotFound},
		{name: "unknown group", root: image, spec: UserSpec{User: "app", Group: "nosuch"}, check: errdefs.IsNotFound},
		{name: "broken line is not root", root: image, spec: UserSpec{User: "broken"}, check: errdefs.IsInvalidArgument},
		{name: "short line is not root", root: image, spec: UserSpec{User: "short"}, check: errdefs.IsInvalidArgument},
		{name: "overflow in the file is not root", root: image, spec: UserSpec{User: "huge"}, check: errdefs.IsInvalidArgument},
		{name: "group without a number", root: image, spec: UserSpec{User: "app", Group: "bad"}, check: errdefs.IsInvalidArgument},
		{name: "negative", root: image, spec: UserSpec{User: "-1"}, check: errdefs.IsInvalidArgument},
		{name: "2^31", root: image, spec: UserSpec{User: "2147483648"}, check: errdefs.IsInvalidArgument},
		{name: "2^32 is not root", root: image, spec: UserSpec{User: "4294967296"}, check: errdefs.IsInvalidArgument},
		{name: "2^64 is not root", root: image, spec: UserSpec{User: "18446744073709551616"}, check: errdefs.IsInvalidArgument},
		{name: "group out of range", root: image, spec: UserSpec{Group: "4294967296"}, check: errdefs.IsInvalidArgument},
		{name: "supplemental group out of range", root: image, spec: UserSpec{SupplementalGroups: []int64{-5}}, check: errdefs.IsInvalidArgument},
		{name: "line too long", root: files{passwdPath: strings.Repeat("x", budget.UserLine+1)}, spec: UserSpec{User: "app"}, check: errdefs.IsInvalidArgument},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Lookup(t.Context(), c.root, c.spec)
			if c.check != nil {
				if !c.check(err) {
					t.Fatalf("got %+v, error %v of the wrong class", got, err)
				}
				if c.spec.Image != "" && !strings.Contains(err.Error(), c.spec.Image) {
					t.Errorf("the message names no image: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got.AdditionalGIDs, c.want.AdditionalGIDs) {
				t.Errorf("groups: got %v, want %v", got.AdditionalGIDs, c.want.AdditionalGIDs)
			}
			got.AdditionalGIDs, c.want.AdditionalGIDs = nil, nil
			if got.UID != c.want.UID || got.GID != c.want.GID || got.Name != c.want.Name {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

// TestNeedsFilesIsRight checks that what needs no files gets the same answer with and without them.
func TestNeedsFilesIsRight(t *testing.T) {
	image := files{passwdPath: "", groupPath: "grp:x:9:app"}
	for _, s := range []UserSpec{
		{User: "1", Group: "2", Strict: true},
		{User: "", Group: "2", Strict: true},
	} {
		if NeedsFiles(s) {
			t.Errorf("%+v needs files", s)
		}
		with, err1 := Lookup(t.Context(), image, s)
		without, err2 := Lookup(t.Context(), nil, s)
		if err1 != nil || err2 != nil || with.UID != without.UID || with.GID != without.GID {
			t.Errorf("%+v: %+v, %v with files; %+v, %v without", s, with, err1, without, err2)
		}
	}
	for _, s := range []UserSpec{{}, {User: "app"}, {User: "1"}, {User: "1", Group: "2"}, {User: "1", Group: "grp", Strict: true}, {User: "1", Group: "2", Strict: true, UserMustBeName: true}} {
		if !NeedsFiles(s) {
			t.Errorf("%+v needs no files", s)
		}
	}
}

// FuzzLookup feeds hostile files. Whatever they hold, there is no panic, and
// a user named other than by a line with UID 0 is not root.
func FuzzLookup(f *testing.F) {
	f.Add("app", "grp", passwd, group)
	f.Add("x", "", "x:::::", "x::")
	f.Add("x", "y", "x:x:0x0:0", "y:x:+0:x")
	f.Add("a", "", "a:x:-0:-0\n", "")
	f.Fuzz(func(t *testing.T, name, grp, passwd, group string) {
		r, err := Lookup(t.Context(), files{passwdPath: passwd, groupPath: group}, UserSpec{User: name, Group: grp})
		if err != nil {
			if r.UID != 0 || r.Name != "" || r.AdditionalGIDs != nil {
				t.Fatalf("an error with an answer: %+v, %v", r, err)
			}
			return
		}
		if r.UID == 0 && name != "" && !isNumber(name) && !strings.Contains(passwd, "0") {
			if _, numeric, _ := parseID(name); !numeric {
				t.Fatalf("%q became root from %q", name, passwd)
			}
		}
		if len(r.AdditionalGIDs) == 0 || r.AdditionalGIDs[0] != r.GID {
			t.Fatalf("incomplete: %+v", r)
		}
	})
}

// TestManyLines: what a file holds cannot make an answer cost more than reading it. The groups have GID 0, which
// needs a second look where a parser takes what is no number for 0.
func TestManyLines(t *testing.T) {
	const lines = 400_000
	image := files{
		passwdPath: strings.Repeat("root:x:0:0:::\n", lines) + "app:x:1000:1000:::\n",
		groupPath:  strings.Repeat("g:x:0:app\n", lines) + "last:x:77:app\n",
	}
	got, err := Lookup(t.Context(), image, UserSpec{User: "app"})
	if err != nil || got.UID != 1000 || !slices.Equal(got.AdditionalGIDs, []uint32{1000, 0, 77}) {
		t.Errorf("got %+v, %v", got, err)
	}
}

// TestManyGroups: a user is in no more groups than a process can have.
func TestManyGroups(t *testing.T) {
	var lines strings.Builder
	for gid := range budget.Groups + 1 {
		fmt.Fprintf(&lines, "g:x:%d:app\n", gid+1)
	}
	image := files{passwdPath: "app:x:1:1:::\n", groupPath: lines.String()}
	if _, err := Lookup(t.Context(), image, UserSpec{User: "app"}); !errdefs.IsInvalidArgument(err) {
		t.Errorf("got %v", err)
	}
}

// TestLookupEndsWithItsContext: a caller that has gone does not have a large file read to its end.
func TestLookupEndsWithItsContext(t *testing.T) {
	gone := errors.New("the caller has gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	lines := 0
	db := &database{ctx: ctx, root: files{groupPath: strings.Repeat("g:x:7:\n", 10*looks)}}
	err := db.scan(groupPath, func(entry) bool {
		lines++
		cancel(gone)
		return true
	})
	if !errors.Is(err, gone) || lines > looks {
		t.Errorf("%v after %d lines", err, lines)
	}
}

// TestCostOfALine: a line of nothing but separators costs no more memory than one without.
func TestCostOfALine(t *testing.T) {
	image := files{
		passwdPath: "app:x:1:1:::\n" + strings.Repeat(":", budget.UserLine) + "\n",
		groupPath:  strings.Repeat(":", budget.UserLine) + "\ng:x:5:" + strings.Repeat(",", budget.UserLine-100) + "app\n",
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got, err := Lookup(t.Context(), image, UserSpec{User: "app"})
	runtime.ReadMemStats(&after)
	if err != nil || !slices.Equal(got.AdditionalGIDs, []uint32{1, 5}) {
		t.Fatalf("got %+v, %v", got, err)
	}
	per := after.TotalAlloc - before.TotalAlloc
	if per > 6*budget.UserLine {
		t.Errorf("%d bytes for two lines of %d", per, budget.UserLine)
	}
}
