package trace

import (
	"cmp"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// counts is what a trace has, for a pod.
type counts struct {
	pods  int
	calls map[string]*tally // by system call
	execs map[string]*tally // by program, with its first words
}

// tally is how often something was done and how long it took together.
type tally struct {
	n    int
	took time.Duration
}

var (
	// 123 00:00:00.000001 fdatasync(5) = 0 <0.000123>
	whole = regexp.MustCompile(`^\d+ +\S+ (\w+)\((.*)\) += (-?\d+|\?).*?(?:<([\d.]+)>)?$`)
	// 123 00:00:00.000001 <... fdatasync resumed>) = 0 <0.000123>
	resumed = regexp.MustCompile(`^\d+ +\S+ <\.\.\. (\w+) resumed>(.*)\) += (-?\d+|\?).*?(?:<([\d.]+)>)?$`)
	// 123 00:00:00.000001 execve("/bin/true", ["true"], …  <unfinished ...>
	begun   = regexp.MustCompile(`^(\d+) +\S+ (execve)\((.*) <unfinished \.\.\.>$`)
	argv    = regexp.MustCompile(`^"([^"]*)", \[([^\]]*)\]`)
	literal = regexp.MustCompile(`"([^"]*)"`)
)

// count reads what strace -f -tt -T has written.
func count(trace string, pods int) counts {
	c := counts{pods: pods, calls: map[string]*tally{}, execs: map[string]*tally{}}
	pending := map[string]string{} // arguments of an execve that was interrupted, by process
	for line := range strings.Lines(trace) {
		line = strings.TrimSuffix(line, "\n")
		pid, _, _ := strings.Cut(line, " ")
		if m := begun.FindStringSubmatch(line); m != nil {
			pending[pid] = m[3]
			continue
		}
		m := whole.FindStringSubmatch(line)
		if m == nil {
			if m = resumed.FindStringSubmatch(line); m == nil {
				continue
			}
			m[2] = pending[pid]
		}
		c.add(m[1], m[2], m[3], m[4])
	}
	return c
}

func (c counts) add(call, args, result, seconds string) {
	if strings.HasPrefix(result, "-") {
		return // it failed: nothing was done
	}
	took, _ := strconv.ParseFloat(seconds, 64)
	d := time.Duration(took * float64(time.Second))
	bump(c.calls, call, d)
	if call == "execve" {
		bump(c.execs, command(args), d)
	}
}

func bump(m map[string]*tally, key string, d time.Duration) {
	if m[key] == nil {
		m[key] = &tally{}
	}
	m[key].n++
	m[key].took += d
}

// command is a program and the words after it that say what it does: no options, paths,
// IDs or numbers.
func command(args string) string {
	m := argv.FindStringSubmatch(args)
	if m == nil {
		return "?"
	}
	words := []string{filepath.Base(m[1])}
	arguments := literal.FindAllStringSubmatch(m[2], -1)
	for n, word := range arguments {
		text := word[1]
		if n == 0 || strings.ContainsAny(text, "/.:{=") || len(text) > 24 || strings.Trim(text, "0123456789") == "" {
			continue
		}
		if strings.HasPrefix(text, "--") && len(words) == 1 {
			continue // a global option
		}
		if words = append(words, text); len(words) > 4 {
			break
		}
	}
	return strings.Join(words, " ")
}

// String shows calls and programs, the most frequent first.
func (c counts) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "for a pod, of %d:\n", c.pods)
	for _, table := range []map[string]*tally{c.calls, c.execs} {
		var keys []string
		for key := range table {
			keys = append(keys, key)
		}
		slices.SortFunc(keys, func(a, b string) int {
			return cmp.Or(-cmp.Compare(table[a].n, table[b].n), cmp.Compare(a, b))
		})
		for _, key := range keys {
			t := table[key]
			fmt.Fprintf(&b, "  %7.1f  %8.2f ms  %s\n", float64(t.n)/float64(c.pods), float64(t.took.Microseconds())/1000/float64(c.pods), key)
		}
		b.WriteString("\n")
	}
	return b.String()
}
