package tracing

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/containerd/errdefs"
)

func TestEnabled(t *testing.T) {
	for _, c := range []struct {
		env  map[string]string
		want bool
	}{
		{nil, false},
		{map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:4318"}, true},
		{map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x:4318/v1/traces"}, true},
		{map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, true},
		{map[string]string{"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:4318"}, false},
		{map[string]string{"OTEL_SDK_DISABLED": "TRUE", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:4318"}, false},
	} {
		for _, name := range []string{"OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"} {
			t.Setenv(name, c.env[name])
		}
		if got := Enabled(); got != c.want {
			t.Errorf("%v: %v", c.env, got)
		}
	}
}

// What cannot be honoured is said at the start.
func TestBadEnvironment(t *testing.T) {
	for name, value := range map[string]string{
		"OTEL_TRACES_EXPORTER": "zipkin", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json", "OTEL_PROPAGATORS": "b3",
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("OTEL_TRACES_EXPORTER", "otlp")
			t.Setenv(name, value)
			if _, err := New(context.Background(), "1"); !errors.Is(err, errdefs.ErrInvalidArgument) {
				t.Errorf("%s=%s: %v", name, value, err)
			}
		})
	}
}

// Off costs nothing and breaks nothing.
func TestOff(t *testing.T) {
	for _, name := range []string{"OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"} {
		t.Setenv(name, "")
	}
	tr, err := New(context.Background(), "1")
	if tr != nil || err != nil {
		t.Fatal(tr, err)
	}
	if len(tr.ServerOptions()) != 0 {
		t.Error("the server has a handler")
	}
	ctx, end := tr.Start(context.Background(), "x")
	end(errors.New("x"))
	if ctx != context.Background() {
		t.Error("another context")
	}
	tr.Observe(ctx, "x", time.Second, nil)
	if err := tr.Close(ctx); err != nil {
		t.Error(err)
	}
}
