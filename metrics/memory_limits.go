package metrics

import (
	"errors"
	"io/fs"
	"time"
)

// limitAge is how old the limits of memory may get: they are two of the eight files that CRI's stats
// take from a cgroup, hardly ever change, and kubelets ask every ten seconds.
const limitAge = 30 * time.Second

// memoryLimits are a cgroup's limits of memory and swap, in bytes as in Memory.
type memoryLimits struct {
	at          time.Time
	limit, swap uint64
	swapOff     bool
}

// limit adds the limits, read anew when they are old.
func (g *group) limit(f *files, m *Memory) error {
	if time.Since(g.memoryLimits.at) >= limitAge {
		read := memoryLimits1
		if g.unified {
			read = memoryLimits2
		}
		l, err := read(f, g.dir("memory"))
		if err != nil {
			return err
		}
		g.memoryLimits = l
	}
	l := &g.memoryLimits
	m.Limit, m.SwapLimit, m.SwapOff = l.limit, l.swap, l.swapOff
	return nil
}

// memoryLimits1 takes the limit of swap from that of memory and swap together.
func memoryLimits1(f *files, dir *directory) (memoryLimits, error) {
	l := memoryLimits{at: time.Now()}
	limit, err := f.value(dir, "memory.limit_in_bytes")
	if err != nil {
		return memoryLimits{}, gone(err)
	}
	l.limit = bounded(limit)
	both, err := f.value(dir, "memory.memsw.limit_in_bytes")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		l.swapOff = true
	case err != nil:
		return l, err
	case both >= unlimited || l.limit == 0:
	case both <= l.limit:
		l.swapOff = true
	default:
		l.swap = both - l.limit
	}
	return l, nil
}

// memoryLimits2 has them apart.
func memoryLimits2(f *files, dir *directory) (memoryLimits, error) {
	l := memoryLimits{at: time.Now()}
	limit, err := f.value(dir, "memory.max")
	if err != nil {
		return memoryLimits{}, gone(err)
	}
	l.limit = bounded(limit)
	swap, err := f.optional(dir, "memory.swap.max")
	l.swap, l.swapOff = bounded(swap), swap == 0
	return l, err
}

// gone makes no error of a cgroup that has vanished meanwhile: its limits are not kept.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
