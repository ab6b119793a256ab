package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Duration is a time.Duration written as a string in TOML ("1m30s"). A bare
// number is refused, since it would not say its unit.
type Duration struct{ time.Duration }

// Seconds and the like are promoted from time.Duration; D makes one in code.
func D(d time.Duration) Duration { return Duration{d} }

// UnmarshalText parses Go's duration syntax.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%q is not a duration such as \"10s\", \"1m30s\" or \"250ms\"", text)
	}
	d.Duration = v
	return nil
}

// MarshalText writes the duration without the units that are zero ("2m", not
// "2m0s").
func (d Duration) MarshalText() ([]byte, error) {
	s := d.Duration.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return []byte(s), nil
}

// CgroupDriver says who manages the control groups of pods.
type CgroupDriver string

// The cgroup drivers; CgroupAuto is resolved at start.
const (
	CgroupAuto     CgroupDriver = "auto"
	CgroupSystemd  CgroupDriver = "systemd"
	CgroupCgroupfs CgroupDriver = "cgroupfs"
)

// Tristate is a switch that can be left to Berth.
type Tristate string

// The values of a Tristate.
const (
	Auto Tristate = "auto"
	Yes  Tristate = "yes"
	No   Tristate = "no"
)

// Resolve returns the switch's value, asking auto only where it was left to
// Berth.
func (t Tristate) Resolve(auto func() bool) bool {
	switch t {
	case Yes:
		return true
	case No:
		return false
	default:
		return auto()
	}
}

// Unlimited is RLIM_INFINITY.
const Unlimited uint64 = math.MaxUint64

// Ulimit is a pair of resource limits, see setrlimit(2).
type Ulimit struct {
	Soft, Hard uint64
}

// UnmarshalText parses "soft:hard", "both" and "unlimited".
func (u *Ulimit) UnmarshalText(text []byte) error {
	soft, hard, both := strings.Cut(string(text), ":")
	if !both {
		hard = soft
	}
	var err error
	if u.Soft, err = parseLimit(soft); err == nil {
		u.Hard, err = parseLimit(hard)
	}
	if err != nil {
		return fmt.Errorf("%q is not a limit such as \"1024:524288\", \"4096\" or \"unlimited\"", text)
	}
	return nil
}

// MarshalText writes "soft:hard".
func (u Ulimit) MarshalText() ([]byte, error) {
	return []byte(formatLimit(u.Soft) + ":" + formatLimit(u.Hard)), nil
}

func parseLimit(s string) (uint64, error) {
	if s == "unlimited" {
		return Unlimited, nil
	}
	return strconv.ParseUint(s, 10, 64)
}

func formatLimit(n uint64) string {
	if n == Unlimited {
		return "unlimited"
	}
	return strconv.FormatUint(n, 10)
}
