package registry

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Fault is something that goes wrong with requests. The zero values of Method and
// Path match all; of several faults that match a request the first injected wins.
type Fault struct {
	// Method and Path select requests: an HTTP method, and a part of the path, for
	// example "/manifests/" or a digest.
	Method, Path string
	// Times is how many requests it hits before it is over; 0 is all of them.
	Times int

	// Delay is waited before the answer begins.
	Delay time.Duration
	// Status, when not 0, is answered instead of the content.
	Status int
	// RetryAfter is sent along with Status, in whole seconds.
	RetryAfter time.Duration
	// Drop closes the connection: at once, or after AfterBytes of the body.
	Drop bool
	// Stall stops sending after AfterBytes of the body but keeps the connection
	// open, until the client goes away or the fault is removed.
	Stall bool
	// AfterBytes is how much of the body Drop and Stall let through.
	AfterBytes int64
	// BytesPerSecond, when not 0, slows the body down to this rate.
	BytesPerSecond int64
}

func (f *Fault) matches(req *http.Request) bool {
	return (f.Method == "" || f.Method == req.Method) && strings.Contains(req.URL.Path, f.Path)
}

// activeFault is an injected fault; gone is closed when it is removed.
type activeFault struct {
	Fault
	left int
	gone chan struct{}
}

type faults struct {
	mu   sync.Mutex
	list []*activeFault
}

// Inject makes requests fail from now on, until the returned function is called.
func (r *Registry) Inject(f Fault) (remove func()) {
	a := &activeFault{Fault: f, left: f.Times, gone: make(chan struct{})}
	r.faults.mu.Lock()
	defer r.faults.mu.Unlock()
	r.faults.list = append(r.faults.list, a)
	return sync.OnceFunc(func() { r.faults.remove(a) })
}

func (fs *faults) remove(a *activeFault) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	close(a.gone)
	fs.list = slices.DeleteFunc(fs.list, func(other *activeFault) bool { return other == a })
}

// take returns the fault that hits a request, and counts it.
func (fs *faults) take(req *http.Request) *activeFault {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for _, a := range fs.list {
		if !a.matches(req) || a.Times > 0 && a.left == 0 {
			continue
		}
		a.left--
		return a
	}
	return nil
}

// inject answers with next, as far as no fault comes between.
func (fs *faults) inject(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		a := fs.take(req)
		if a == nil {
			next.ServeHTTP(w, req)
			return
		}
		a.wait(req, a.Delay)
		if a.Status != 0 {
			a.refuse(w)
			return
		}
		if a.Drop && a.AfterBytes == 0 {
			panic(http.ErrAbortHandler)
		}
		next.ServeHTTP(&faultyWriter{ResponseWriter: w, req: req, fault: a, left: a.AfterBytes}, req)
	})
}

// wait sleeps, unless the client goes away or the fault is removed.
func (a *activeFault) wait(req *http.Request, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-a.gone:
	case <-req.Context().Done():
	}
}
