package report

import "slices"

// Level is the largest length to which every part may be cut so that all parts together take at
// most room bytes. Parts that are shorter stay as they are. It is 0 when nothing fits.
func Level(lengths []int, room int) int {
	sorted := slices.Sorted(slices.Values(lengths))
	for i, n := range sorted {
		share := max(room, 0) / (len(sorted) - i)
		if n > share {
			return share
		}
		room -= n
	}
	if len(sorted) == 0 {
		return 0
	}
	return sorted[len(sorted)-1]
}
