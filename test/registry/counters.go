package registry

import (
	"maps"
	"net/http"
	"strings"
	"sync"
)

// counters count requests by "METHOD PATH".
type counters struct {
	mu sync.Mutex
	n  map[string]int
}

func (r *Registry) count(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.counters.mu.Lock()
		if r.counters.n == nil {
			r.counters.n = map[string]int{}
		}
		r.counters.n[req.Method+" "+req.URL.Path]++
		r.counters.mu.Unlock()
		next.ServeHTTP(w, req)
	})
}

// Requests returns how often each "METHOD PATH" was asked for, answered or not,
// since the start or the last ResetRequests. Pushes by this package do not count.
func (r *Registry) Requests() map[string]int {
	r.counters.mu.Lock()
	defer r.counters.mu.Unlock()
	return maps.Clone(r.counters.n)
}

// CountRequests returns how many requests of a method had part in their path, for
// example a digest.
func (r *Registry) CountRequests(method, part string) int {
	sum := 0
	for request, n := range r.Requests() {
		m, path, _ := strings.Cut(request, " ")
		if m == method && strings.Contains(path, part) {
			sum += n
		}
	}
	return sum
}

// ResetRequests sets all counters to zero.
func (r *Registry) ResetRequests() {
	r.counters.mu.Lock()
	defer r.counters.mu.Unlock()
	r.counters.n = nil
}
