package failpoint

import (
	"encoding/json"
	"net/http"

	"github.com/containerd/errdefs"
)

// Handler lets tests arm points over HTTP. It belongs on a socket that only root can
// open.
//
//	GET    /failpoints                         all points and their state, as JSON
//	POST   /failpoints?point=P&action=A        arms
//	DELETE /failpoints?point=P                 disarms and lets go; without a point, all
//	GET    /failpoints/wait?point=P            answers when the point has been hit
func (s *Set) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /failpoints", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(s.States()) // the client has left
	})
	mux.HandleFunc("POST /failpoints", func(w http.ResponseWriter, r *http.Request) {
		a, err := ParseAction(r.FormValue("action"))
		if err == nil {
			err = s.Arm(r.FormValue("point"), a)
		}
		answer(w, err)
	})
	mux.HandleFunc("DELETE /failpoints", func(w http.ResponseWriter, r *http.Request) {
		if point := r.FormValue("point"); point != "" {
			s.Disarm(point)
		} else {
			s.DisarmAll()
		}
		answer(w, nil)
	})
	mux.HandleFunc("GET /failpoints/wait", func(w http.ResponseWriter, r *http.Request) {
		answer(w, s.Wait(r.Context(), r.FormValue("point")))
	})
	return mux
}

func answer(w http.ResponseWriter, err error) {
	switch {
	case err == nil:
		w.WriteHeader(http.StatusNoContent)
	case errdefs.IsNotFound(err):
		http.Error(w, err.Error(), http.StatusNotFound)
	default:
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
}
