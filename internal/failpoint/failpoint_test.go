package failpoint

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
)

func TestError(t *testing.T) {
	s := New([]string{"a", "b"})
	if err := s.ArmAll("a=error*2; b=delay(1ms)"); err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		err := s.Hit(t.Context(), "a")
		var injected *InjectedError
		if got := errors.As(err, &injected); got != (n < 2) {
			t.Errorf("hit %d: %v", n, err)
		}
	}
	if err := s.Hit(t.Context(), "b"); err != nil {
		t.Error(err)
	}
	if s.Armed() {
		t.Error("still armed after the last action")
	}
	if st := s.States()["a"]; st.Hits != 2 || st.Armed != "" {
		t.Errorf("%+v", st)
	}
}

func TestHang(t *testing.T) {
	s := New([]string{"a"})
	if err := s.Arm("a", Action{Kind: Hang, Times: 1}); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- s.Hit(context.Background(), "a") }()
	if err := s.Wait(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	s.DisarmAll()
	if err := <-done; err != nil {
		t.Error(err)
	}
	_ = s.Arm("a", Action{Kind: Hang})
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := s.Hit(ctx, "a"); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestMistakes(t *testing.T) {
	s := New([]string{"a"})
	for _, text := range []string{"b=error", "a", "a=burn", "a=error*x", "a=error*-1", "a=delay(1)"} {
		if err := s.ArmAll(text); !errdefs.IsNotFound(err) && !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if s.Armed() {
		t.Error("armed by a mistake")
	}
	var none *Set
	if err := none.Hit(t.Context(), "a"); err != nil {
		t.Error(err)
	}
}

func TestHandler(t *testing.T) {
	s := New([]string{"a"})
	call := func(method, target string) (int, string) {
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, httptest.NewRequest(method, target, nil))
		return w.Code, w.Body.String()
	}
	if code, body := call("POST", "/failpoints?point=a&action=error"); code != http.StatusNoContent {
		t.Fatal(code, body)
	}
	if _, body := call("GET", "/failpoints"); !strings.Contains(body, `"a":{"armed":"error"}`) {
		t.Error(body)
	}
	if err := s.Hit(t.Context(), "a"); err == nil {
		t.Error("not armed")
	}
	if code, _ := call("GET", "/failpoints/wait?point=a"); code != http.StatusNoContent {
		t.Error(code)
	}
	if code, _ := call("POST", "/failpoints?point=x&action=error"); code != http.StatusNotFound {
		t.Error(code)
	}
	if code, _ := call("DELETE", "/failpoints"); code != http.StatusNoContent {
		t.Error(code)
	}
}

func BenchmarkInert(b *testing.B) {
	s := New([]string{"a"})
	for b.Loop() {
		_ = s.Hit(context.Background(), "a")
	}
}
