package rootfs

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

// FuzzOptions reads any mount options: what is refused is InvalidArgument, the rest is flags or data in the
// order of the options, and shortened lower directories are the same directories.
func FuzzOptions(f *testing.F) {
	for _, s := range []string{
		"", "ro,nosuid", "index=off,userxattr,upperdir=/a/u,workdir=/a/w,lowerdir=/a/snapshots/1/fs:/a/snapshots/2/fs",
		"lowerdir=/a:/a", "lowerdir=:", "lowerdir=", "lowerdir=a:b", "uidmap=0:1000:10,gidmap=0:1000:10", "uidmap=0:1", "uidmap=-1:0:0", "loop", "rw,ro,rbind,private",
		"lowerdir=/:/a", "lowerdir=//a//b://a//c", "lowerdir=/0/x,lowerdir=/", "lowerdir=/a/b:/a//c", "lowerdir=/a/1:/a/2::/a/3",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		options := strings.Split(text, ",")
		_, data, err := parse(options)
		if err != nil {
			if !errdefs.IsInvalidArgument(err) {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		rest := options
		for _, d := range data {
			i := slices.Index(rest, d)
			if i < 0 {
				t.Fatalf("%q has the data %q", text, data)
			}
			rest = rest[i+1:]
		}
		dir, short := shorten(data)
		if dir == "" {
			return
		}
		want, got := lowers(data), lowers(strings.Split(short, ","))
		if len(want) != len(got) {
			t.Fatalf("%q is shortened to %q in %q", data, short, dir)
		}
		for i := range want {
			if filepath.IsAbs(got[i]) || got[i] == "" || dir+got[i] != want[i] {
				t.Errorf("%q is shortened to %q in %q", want[i], got[i], dir)
			}
		}
	})
}

// lowers are the lower directories of an overlay's options.
func lowers(data []string) (dirs []string) {
	for _, o := range data {
		if list, ok := strings.CutPrefix(o, lowerOption); ok {
			dirs = append(dirs, strings.Split(list, ":")...)
		}
	}
	return dirs
}
