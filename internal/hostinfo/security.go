package hostinfo

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/moby/sys/capability"
	"github.com/moby/sys/mountinfo"
)

// capabilities reads what the kernel knows and what this process can hand on.
func (d *detector) capabilities() error {
	status, err := os.ReadFile(d.proc("self/status"))
	if err != nil {
		return err
	}
	permitted, err := statusHex(string(status), "CapPrm")
	if err != nil {
		return err
	}
	bounding, err := statusHex(string(status), "CapBnd")
	if err != nil {
		return err
	}
	last, err := strconv.Atoi(d.text(d.proc("sys/kernel/cap_last_cap")))
	if err != nil {
		d.problem("The last capability of the kernel cannot be read: %v.", err)
		last = 63
	}
	for _, c := range capability.ListKnown() {
		if int(c) > last {
			continue
		}
		name := "CAP_" + strings.ToUpper(c.String())
		d.info.Capabilities = append(d.info.Capabilities, name)
		if permitted&bounding&(1<<uint(c)) != 0 {
			d.info.OwnCapabilities = append(d.info.OwnCapabilities, name)
		}
	}
	return nil
}

// statusHex is a hexadecimal field of /proc/self/status.
func statusHex(status, field string) (uint64, error) {
	for line := range strings.Lines(status) {
		if v, ok := strings.CutPrefix(line, field+":"); ok {
			return strconv.ParseUint(strings.TrimSpace(v), 16, 64)
		}
	}
	return 0, fmt.Errorf("no line %s in /proc/self/status", field)
}

// security looks for the kernel's security modules and for resource control.
func (d *detector) security(mounts []*mountinfo.Info) {
	// Present exactly where the kernel has SECCOMP_FILTER (4.14 and newer).
	d.info.Seccomp = exists(d.proc("sys/kernel/seccomp/actions_avail"))
	d.info.NoX32 = d.noX32()

	enabled := d.text(d.sys("module/apparmor/parameters/enabled"))
	d.info.AppArmor = strings.HasPrefix(enabled, "Y") && isDir(d.sys("kernel/security/apparmor"))
	if d.info.AppArmor {
		_, err := d.LookPath("apparmor_parser")
		d.info.AppArmorParser = err == nil
	}

	for _, m := range mounts {
		d.info.Resctrl = d.info.Resctrl || m.FSType == "resctrl"
		// A read-only selinuxfs is what containers see; labels cannot be used there.
		// Before a policy is loaded everything has the label "kernel".
		if m.FSType == "selinuxfs" && hasOption(m.Options, "rw") {
			d.info.SELinux = strings.TrimRight(d.text(d.proc("self/attr/current")), "\x00") != "kernel"
		}
	}
}

func hasOption(options, want string) bool {
	for o := range strings.SplitSeq(options, ",") {
		if o == want {
			return true
		}
	}
	return false
}

// userNamespaces finds out whether they can be made, and whether this process lives in one.
func (d *detector) userNamespaces() {
	// Absent file: a kernel without CONFIG_USER_NS.
	limit, err := strconv.ParseInt(d.text(d.proc("sys/user/max_user_namespaces")), 10, 64)
	d.info.UserNamespaces = err == nil && limit > 0
	uidMap := strings.Fields(d.text(d.proc("self/uid_map")))
	d.info.InUserNamespace = len(uidMap) > 0 && strings.Join(uidMap, " ") != "0 0 4294967295"
}

// lookPath also looks where Debian keeps administrators' programs, which are
// not in everybody's PATH.
func lookPath(name string) (string, error) {
	if p, err := exec.LookPath(name); err == nil {
		return p, nil
	}
	for _, dir := range []string{"/usr/sbin/", "/sbin/"} {
		if p, err := exec.LookPath(dir + name); err == nil {
			return p, nil
		}
	}
	return "", exec.ErrNotFound
}
