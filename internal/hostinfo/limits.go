package hostinfo

import (
	"math"
	"strconv"
	"strings"
)

// limitNames maps the first column of /proc/self/limits to setrlimit(2)'s names.
var limitNames = map[string]string{
	"Max cpu time":          "RLIMIT_CPU",
	"Max file size":         "RLIMIT_FSIZE",
	"Max data size":         "RLIMIT_DATA",
	"Max stack size":        "RLIMIT_STACK",
	"Max core file size":    "RLIMIT_CORE",
	"Max resident set":      "RLIMIT_RSS",
	"Max processes":         "RLIMIT_NPROC",
	"Max open files":        "RLIMIT_NOFILE",
	"Max locked memory":     "RLIMIT_MEMLOCK",
	"Max address space":     "RLIMIT_AS",
	"Max file locks":        "RLIMIT_LOCKS",
	"Max pending signals":   "RLIMIT_SIGPENDING",
	"Max msgqueue size":     "RLIMIT_MSGQUEUE",
	"Max nice priority":     "RLIMIT_NICE",
	"Max realtime priority": "RLIMIT_RTPRIO",
	"Max realtime timeout":  "RLIMIT_RTTIME",
}

// limits reads this process's rlimits and OOM score.
func (d *detector) limits() {
	d.info.Rlimits = parseLimits(d.text(d.proc("self/limits")))
	if len(d.info.Rlimits) == 0 {
		d.problem("This process's resource limits cannot be read.")
	}
	adj, err := strconv.Atoi(d.text(d.proc("self/oom_score_adj")))
	if err != nil {
		d.problem("This process's oom_score_adj cannot be read: %v.", err)
	}
	d.info.OOMScoreAdj = adj
}

// parseLimits reads /proc/PID/limits, whose first column is 25 characters wide.
func parseLimits(text string) map[string]Rlimit {
	const width = 25
	limits := map[string]Rlimit{}
	for line := range strings.Lines(text) {
		if len(line) <= width {
			continue
		}
		name, ok := limitNames[strings.TrimSpace(line[:width])]
		values := strings.Fields(line[width:])
		if !ok || len(values) < 2 {
			continue
		}
		soft, err1 := parseLimit(values[0])
		hard, err2 := parseLimit(values[1])
		if err1 == nil && err2 == nil {
			limits[name] = Rlimit{Soft: soft, Hard: hard}
		}
	}
	return limits
}

func parseLimit(s string) (uint64, error) {
	if s == "unlimited" {
		return math.MaxUint64, nil
	}
	return strconv.ParseUint(s, 10, 64)
}
