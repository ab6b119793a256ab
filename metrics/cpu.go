package metrics

import "time"

// CPU is what a cgroup used of the processors since it was made, and how often its
// quota held it up.
type CPU struct {
	// At is the moment of reading Usage; rates are over these moments.
	At time.Time `json:"-"`
	// Usage, User and System are core nanoseconds. User and System are the kernel's
	// estimate and need not add up to Usage.
	Usage, User, System uint64
	// Periods counts the CFS periods that passed with a quota, Throttled those in which it
	// was used up, ThrottledTime the nanoseconds the cgroup's threads had to wait.
	Periods, Throttled, ThrottledTime uint64
	// Bursts counts the periods that used saved-up quota, BurstTime the nanoseconds of it.
	Bursts, BurstTime uint64
}

// readCPU reads cpuacct and cpu on v1, cpu.stat on v2. A v2 cgroup has usage without
// the cpu controller, and throttling with it.
func readCPU(f *files, g *group, s *Sample) error {
	if g.quiet {
		c := g.basics.cpu
		c.At = g.pod.basics.cpu.At
		s.CPU = &c
		return nil
	}
	c, at := &CPU{}, time.Now()
	read := readCPU1
	if g.unified {
		read = readCPU2
	}
	err := read(f, g, c)
	if err == nil {
		s.CPU = c
	}
	g.see(s.CPU, at)
	return err
}

func readCPU1(f *files, g *group, c *CPU) error {
	acct := g.dir("cpuacct")
	var err error
	if c.Usage, err = f.value(acct, "cpuacct.usage"); err != nil {
		return err
	}
	c.At = time.Now()
	return nil
}

// readCPUDetails reads what v1 has in files of its own.
func readCPUDetails(f *files, g *group, s *Sample) error {
	c, acct := s.CPU, g.dir("cpuacct")
	if g.unified || c == nil {
		return nil
	}
	var err error
	if c.User, err = f.optional(acct, "cpuacct.usage_user"); err != nil {
		return err
	}
	if c.System, err = f.optional(acct, "cpuacct.usage_sys"); err != nil {
		return err
	}
	// Without quota support in the kernel the file has nothing in it.
	err = f.keyed(g.dir("cpu"), "cpu.stat", func(key []byte, v uint64) {
		switch string(key) {
		case "nr_periods":
			c.Periods = v
		case "nr_throttled":
			c.Throttled = v
		case "throttled_time":
			c.ThrottledTime = v
		case "nr_bursts":
			c.Bursts = v
		case "burst_time":
			c.BurstTime = v
		}
	})
	if vanished(err) {
		return nil
	}
	return err
}

func readCPU2(f *files, g *group, c *CPU) error {
	err := f.keyed(g.dir("cpu"), "cpu.stat", func(key []byte, v uint64) {
		switch string(key) {
		case "usage_usec":
			c.Usage = nanos(v)
		case "user_usec":
			c.User = nanos(v)
		case "system_usec":
			c.System = nanos(v)
		case "nr_periods":
			c.Periods = v
		case "nr_throttled":
			c.Throttled = v
		case "throttled_usec":
			c.ThrottledTime = nanos(v)
		case "nr_bursts":
			c.Bursts = v
		case "burst_usec":
			c.BurstTime = nanos(v)
		}
	})
	c.At = time.Now()
	return err
}
