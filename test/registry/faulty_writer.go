package registry

import (
	"net/http"
	"strconv"
	"time"
)

// refuse answers with the fault's status and a body in the registry's format.
func (a *activeFault) refuse(w http.ResponseWriter) {
	if a.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(a.RetryAfter.Seconds())))
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(a.Status)
	_, _ = w.Write([]byte(`{"errors":[{"code":"UNKNOWN","message":"fault ordered by the test"}]}`))
}

// faultyWriter sends a body as its fault wants it.
type faultyWriter struct {
	http.ResponseWriter
	req   *http.Request
	fault *activeFault
	left  int64 // bytes of body until Drop or Stall
}

// Write implements io.Writer.
func (w *faultyWriter) Write(p []byte) (int, error) {
	if !w.fault.Drop && !w.fault.Stall {
		return w.throttled(p)
	}
	if int64(len(p)) <= w.left {
		n, err := w.throttled(p)
		w.left -= int64(n)
		return n, err
	}
	n, err := w.throttled(p[:w.left])
	w.left -= int64(n)
	if err != nil {
		return n, err
	}
	w.flush()
	if w.fault.Drop {
		panic(http.ErrAbortHandler)
	}
	select {
	case <-w.fault.gone: // goes on where it stopped
		w.left = 1 << 62
	case <-w.req.Context().Done():
		return n, w.req.Context().Err()
	}
	rest, err := w.throttled(p[n:])
	return n + rest, err
}

// throttled writes in portions of a twentieth of a second.
func (w *faultyWriter) throttled(p []byte) (int, error) {
	rate := w.fault.BytesPerSecond
	if rate <= 0 {
		return w.ResponseWriter.Write(p)
	}
	written := 0
	for written < len(p) {
		if err := w.req.Context().Err(); err != nil {
			return written, err
		}
		portion := min(int(max(rate/20, 1)), len(p)-written)
		n, err := w.ResponseWriter.Write(p[written : written+portion])
		written += n
		if err != nil {
			return written, err
		}
		w.flush()
		w.fault.wait(w.req, time.Duration(portion)*time.Second/time.Duration(rate))
	}
	return written, nil
}

func (w *faultyWriter) flush() {
	if f, ok := w.ResponseWriter.(http.Flusher); ok {
		f.Flush()
	}
}
