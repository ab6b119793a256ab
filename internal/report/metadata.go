package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/berth-run/berth/internal/budget"
)

// entryCost is what an entry of a map takes in a message beside its key and value: tags and
// lengths, in bytes.
const entryCost = 16

// Metadata is how the labels and annotations of one object are reported: as they are while
// they take no more than budget.ReportedMetadata bytes, else cut off to that. The maps that were
// given are not changed; they are returned themselves when nothing has to be cut off.
func Metadata(labels, annotations map[string]string) (_, _ map[string]string) {
	shorten(budget.ReportedMetadata, &labels, &annotations)
	return labels, annotations
}

// Annotations is Metadata for an object that has no labels.
func Annotations(annotations map[string]string) map[string]string {
	shorten(budget.ReportedMetadata, &annotations)
	return annotations
}

// pair is an entry of one of several maps.
type pair struct {
	of         int // which map
	key, value string
}

func (p pair) size() int { return len(p.key) + len(p.value) + entryCost }

// shorten replaces maps by shorter ones, so that all of them together take at most room bytes. The
// longest values are cut off first, to budget.ReportedValue at the least. If this is not enough,
// entries are left out: the kubelet's own come first, then those with the first keys.
func shorten(room int, maps ...*map[string]string) {
	if sizeOf(maps...) <= room {
		return
	}
	var pairs []pair
	for i, m := range maps {
		for k, v := range *m {
			pairs = append(pairs, pair{i, k, v})
		}
		*m = map[string]string{}
	}
	cutValues(pairs, room)
	slices.SortFunc(pairs, func(a, b pair) int {
		return cmp.Or(cmp.Compare(rank(a.key), rank(b.key)), a.of-b.of, strings.Compare(a.key, b.key))
	})
	for _, p := range pairs {
		if room -= p.size(); room < 0 {
			return
		}
		(*maps[p.of])[p.key] = p.value
	}
}

func sizeOf(maps ...*map[string]string) int {
	total := 0
	for _, m := range maps {
		for k, v := range *m {
			total += pair{key: k, value: v}.size()
		}
	}
	return total
}

func cutValues(pairs []pair, room int) {
	lengths := make([]int, len(pairs))
	for i, p := range pairs {
		room -= len(p.key) + entryCost
		lengths[i] = len(p.value)
	}
	level := max(Level(lengths, room), budget.ReportedValue)
	for i := range pairs {
		pairs[i].value = cut(pairs[i].value, level)
	}
}

// rank puts the kubelet's own labels and annotations first: it finds its pods and containers
// by them.
func rank(key string) int {
	if strings.HasPrefix(key, "io.kubernetes.") {
		return 0
	}
	return 1
}

// cut shortens a text to at most n bytes, a note about the missing rest included. It stays
// valid UTF-8, which protobuf demands.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	note := fmt.Sprintf("… (cut off here: %d bytes in all)", len(s))
	end := max(n-len(note), 0)
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + note
}
