package metrics

import (
	"os"
	"strconv"
	"strings"
)

// Hugetlb is what a cgroup holds of one size of huge pages.
type Hugetlb struct {
	// PageSize is written as in the controller's files: "2MB".
	PageSize string
	// Usage and Peak are bytes (v2 keeps no peak), Failures counts refused allocations.
	Usage, Peak, Failures uint64
}

// readHugetlb reads each of sizes that the controller has; a kernel without the
// controller has none.
func readHugetlb(f *files, g *group, s *Sample, sizes []string) error {
	dir := g.dir("hugetlb")
	for _, size := range sizes {
		h, err := hugetlb(f, g, dir, "hugetlb."+size)
		if vanished(err) && err != nil {
			continue
		}
		if err != nil {
			return err
		}
		h.PageSize = size
		s.Hugetlb = append(s.Hugetlb, h)
	}
	return nil
}

func hugetlb(f *files, g *group, dir *directory, prefix string) (h Hugetlb, err error) {
	if !g.unified {
		if h.Usage, err = f.value(dir, prefix+".usage_in_bytes"); err != nil {
			return h, err
		}
		if h.Peak, err = f.optional(dir, prefix+".max_usage_in_bytes"); err != nil {
			return h, err
		}
		h.Failures, err = f.optional(dir, prefix+".failcnt")
		return h, err
	}
	if h.Usage, err = f.value(dir, prefix+".current"); err != nil {
		return h, err
	}
	err = f.keyed(dir, prefix+".events", func(key []byte, v uint64) {
		if string(key) == "max" {
			h.Failures = v
		}
	})
	if vanished(err) {
		err = nil
	}
	return h, err
}

// pageSizes lists the huge page sizes of this machine as the controller writes them,
// from directory names like hugepages-2048kB.
func pageSizes(dir string) []string {
	entries, _ := os.ReadDir(dir)
	var out []string
	for _, e := range entries {
		kb, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimPrefix(e.Name(), "hugepages-"), "kB"), 10, 64)
		switch {
		case err != nil:
		case kb >= 1<<20:
			out = append(out, strconv.FormatUint(kb>>20, 10)+"GB")
		case kb >= 1<<10:
			out = append(out, strconv.FormatUint(kb>>10, 10)+"MB")
		default:
			out = append(out, strconv.FormatUint(kb, 10)+"KB")
		}
	}
	return out
}
