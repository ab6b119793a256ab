package cgroups

import (
	"os"
	"strconv"
	"strings"

	"github.com/berth-run/berth/shim/pb"
	"google.golang.org/protobuf/encoding/protowire"
)

// Metrics are the figures of the cgroup in the form of github.com/containerd/cgroups, as containerd's
// shim gives them. berthd reads cgroups itself; this is for `ctr task metrics` and `nerdctl stats`. Each
// message that a client looks into is there, an empty one where the kernel has no figures: clients do
// not expect a nil one.
func (g Group) Metrics() pb.Any {
	if g.alone() {
		return pb.Any{URL: "io.containerd.cgroups.v2.Metrics", Value: g.metrics2()}
	}
	return pb.Any{URL: "io.containerd.cgroups.v1.Metrics", Value: g.metrics1(deviceName)}
}

// figures are the lines "key value" of a file of a cgroup. The key of a line with nothing but a value is "".
type figures map[string]uint64

// figuresOf reads a file; a file that is not there has no figures. "max" is the largest number, and a value that
// is no number is left out.
func figuresOf(path string) figures {
	f := figures{}
	data, _ := os.ReadFile(path)
	for line := range strings.Lines(string(data)) {
		words := strings.Fields(line)
		if len(words) == 1 {
			words = []string{"", words[0]}
		}
		if len(words) != 2 {
			continue
		}
		if n, ok := number(words[1]); ok {
			f[words[0]] = n
		}
	}
	return f
}

// number reads a value; ok reports whether it is one.
func number(s string) (n uint64, ok bool) {
	if s == "max" {
		return 1<<64 - 1, true
	}
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil
}

// append appends the values of keys as fields of a message that are numbered from 1. A key "-" skips a number.
func (f figures) append(b []byte, keys ...string) []byte {
	for i, key := range keys {
		b = pb.Uint(b, protowire.Number(i+1), f[key])
	}
	return b
}

// numbersOf appends the values of files that hold nothing but a number, as fields that are numbered from 1.
func numbersOf(paths ...string) (b []byte) {
	for i, path := range paths {
		b = pb.Uint(b, protowire.Number(i+1), figuresOf(path)[""])
	}
	return b
}
