package trace

import "testing"

const sample = `100 00:00:00.000001 fdatasync(5) = 0 <0.000100>
100 00:00:00.000002 fdatasync(6 <unfinished ...>
101 00:00:00.000003 execve("/b/bin/runc", ["runc", "--root", "/run/runc", "--log", "/x/y.json", "create", "--bundle", "/b", "0123456789abcdef0123456789abcdef"], 0xc000 /* 9 vars */ <unfinished ...>
100 00:00:00.000004 <... fdatasync resumed>) = 0 <0.000300>
101 00:00:00.000005 <... execve resumed>) = 0 <0.001000>
102 00:00:00.000006 execve("/usr/sbin/iptables", ["iptables", "-t", "nat", "-S"], 0xc000 /* 9 vars */) = 0 <0.000500>
102 00:00:00.000007 execve("/nowhere", ["nowhere"], 0xc000 /* 9 vars */) = -1 ENOENT (No such file or directory) <0.000005>
103 00:00:00.000008 exit_group(0) = ?
`

func TestCount(t *testing.T) {
	c := count(sample, 2)
	if f := c.calls["fdatasync"]; f == nil || f.n != 2 || f.took.Microseconds() != 400 {
		t.Errorf("fdatasync: %+v", f)
	}
	if e := c.calls["execve"]; e == nil || e.n != 2 {
		t.Errorf("execve: %+v", e)
	}
	for _, want := range []string{"runc create --bundle", "iptables -t nat -S"} {
		if c.execs[want] == nil {
			t.Errorf("%q is missing in %v", want, c.execs)
		}
	}
	if c.calls["exit_group"] == nil {
		t.Error("exit_group has no time, and counts")
	}
}
