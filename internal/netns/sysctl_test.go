package netns

import (
	"maps"
	"slices"
	"testing"

	"github.com/containerd/errdefs"
)

func TestValidateSysctls(t *testing.T) {
	for _, tc := range []struct {
		name          string
		net, ipc, uts bool
		ok            bool
	}{
		{"net.ipv4.ip_forward", true, false, false, true},
		{"net/ipv4/ip_forward", true, false, false, true},
		{"net.ipv4.conf.eth0/100.forwarding", true, false, false, true},
		{"net.ipv4.ip_forward", false, true, true, false},
		{"kernel.shmmax", false, true, false, true},
		{"kernel.shmmax", true, false, true, false},
		{"kernel.msgmnb", false, true, false, true},
		{"kernel.sem", false, true, false, true},
		{"kernel.semicolon", true, true, true, false},
		{"fs.mqueue.msg_max", false, true, false, true},
		{"fs.mqueue.msg_max", true, false, true, false},
		{"fs.file-max", true, true, true, false},
		{"kernel.domainname", false, false, true, true},
		{"kernel.domainname", true, true, false, false},
		{"kernel.hostname", true, true, true, false},
		{"vm.swappiness", true, true, true, false},
		{"net/../kernel/panic", true, true, true, false},
		{"net//ipv4", true, true, true, false},
		{"net.ipv4.", true, true, true, false},
		{"/net/ipv4/ip_forward", true, true, true, false},
		{"", true, true, true, false},
	} {
		err := ValidateSysctls(map[string]string{tc.name: "1"}, tc.net, tc.ipc, tc.uts)
		if tc.ok && err != nil || !tc.ok && !errdefs.IsInvalidArgument(err) {
			t.Errorf("%q (net %v ipc %v uts %v): %v", tc.name, tc.net, tc.ipc, tc.uts, err)
		}
	}
}

func TestSysctlPath(t *testing.T) {
	for name, want := range map[string]string{
		"net.ipv4.ip_forward":               "net/ipv4/ip_forward",
		"net/ipv4/ip_forward":               "net/ipv4/ip_forward",
		"net.ipv4.conf.eth0/100.forwarding": "net/ipv4/conf/eth0.100/forwarding",
		"net/ipv4/conf/eth0.100/forwarding": "net/ipv4/conf/eth0.100/forwarding",
	} {
		if got, err := sysctlPath(name); err != nil || got != want {
			t.Errorf("%q: %q, %v, want %q", name, got, err, want)
		}
	}
}

func TestSplitSysctls(t *testing.T) {
	now, later := SplitSysctls(map[string]string{
		"net.ipv4.ip_forward": "1", "net.ipv4.conf.all.forwarding": "1", "net.ipv4.conf.eth0.rp_filter": "0",
		"net/ipv6/neigh/eth0/gc_stale_time": "5", "net.ipv4.conf.lo.forwarding": "1", "kernel.sem": "1 2 3 4",
	})
	if got := slices.Sorted(maps.Keys(later)); !slices.Equal(got, []string{"net.ipv4.conf.eth0.rp_filter", "net/ipv6/neigh/eth0/gc_stale_time"}) {
		t.Errorf("after the network: %v", got)
	}
	if len(now) != 4 {
		t.Errorf("at once: %v", now)
	}
}

func TestValidateSpec(t *testing.T) {
	id := func(c, h, l uint32) IDMap { return IDMap{c, h, l} }
	good := []IDMap{id(0, 100000, 65536)}
	for name, tc := range map[string]struct {
		spec Spec
		ok   bool
	}{
		"net only":           {Spec{Dir: "/d", Net: true}, true},
		"nothing":            {Spec{Dir: "/d"}, false},
		"relative":           {Spec{Dir: "d", Net: true}, false},
		"hostname, host uts": {Spec{Dir: "/d", Net: true, Hostname: "a"}, false},
		"long hostname":      {Spec{Dir: "/d", UTS: true, Hostname: string(make([]byte, 65))}, false},
		"user":               {Spec{Dir: "/d", User: &UserSpec{good, good}}, true},
		"no gids":            {Spec{Dir: "/d", User: &UserSpec{good, nil}}, false},
		"two ranges":         {Spec{Dir: "/d", User: &UserSpec{[]IDMap{id(0, 1000, 10), id(10, 5000, 5)}, good}}, true},
		"overlap inside":     {Spec{Dir: "/d", User: &UserSpec{[]IDMap{id(0, 1000, 10), id(9, 5000, 5)}, good}}, false},
		"overlap outside":    {Spec{Dir: "/d", User: &UserSpec{good, []IDMap{id(0, 1000, 10), id(10, 1005, 5)}}}, false},
		"empty range":        {Spec{Dir: "/d", User: &UserSpec{[]IDMap{id(0, 1000, 0)}, good}}, false},
		"too long":           {Spec{Dir: "/d", User: &UserSpec{[]IDMap{id(0, 1<<31, 1<<31+1)}, good}}, false},
	} {
		if err := ValidateSpec(tc.spec); tc.ok && err != nil || !tc.ok && !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzSysctlPath(f *testing.F) {
	for _, s := range []string{"net.ipv4.ip_forward", "net/ipv4/conf/a.b/x", "..", "/", "net/../x", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		p, err := sysctlPath(name)
		if err != nil {
			return
		}
		if p == "" || p[0] == '/' || slices.Contains(splitSlash(p), "..") || slices.Contains(splitSlash(p), "") {
			t.Errorf("%q became the path %q, which leaves /proc/sys", name, p)
		}
	})
}

func splitSlash(p string) []string {
	var parts []string
	start := 0
	for i := range len(p) + 1 {
		if i == len(p) || p[i] == '/' {
			parts = append(parts, p[start:i])
			start = i + 1
		}
	}
	return parts
}
