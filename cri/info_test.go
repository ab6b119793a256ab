package cri

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"
)

// TestEncodeInfo: whatever is told is a JSON object, the only thing that crictl does not print as text.
func TestEncodeInfo(t *testing.T) {
	got, err := encodeInfo(map[string]any{
		"object": map[string]any{"a": 1}, "list": []string{"x"}, "text": `say "x"`, "number": 7, "none": nil,
		"raw": json.RawMessage(`[1]`), "empty": []string{}, "nil": []string(nil),
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"object": `{"a":1}`, "list": `{"items":["x"]}`, "text": `{"value":"say \"x\""}`, "number": `{"value":7}`,
		"none": `{"value":null}`, "raw": `{"items":[1]}`,
		"empty": `{"items":[]}`, "nil": `{"items":[]}`,
	}
	if !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if _, err := encodeInfo(map[string]any{"f": func() {}}); err == nil {
		t.Error("a function was encoded")
	}
}

// TestFitInfo: an info that is too long for a message loses its largest parts, and says so.
func TestFitInfo(t *testing.T) {
	long := strings.Repeat("x", 10<<20)
	info, err := encodeInfo(map[string]any{"info": map[string]any{"config": long, "runtimeSpec": long + "y", "pid": 7}})
	if err != nil {
		t.Fatal(err)
	}
	if info, err = fitInfo(info); err != nil {
		t.Fatal(err)
	}
	var got struct {
		PID         int
		Config      string
		RuntimeSpec struct{ Omitted string }
	}
	if err := json.Unmarshal([]byte(info["info"]), &got); err != nil {
		t.Fatal(err)
	}
	if len(info["info"]) > mostInfo || got.PID != 7 || len(got.Config) != len(long) || !strings.Contains(got.RuntimeSpec.Omitted, "10485763 bytes") {
		t.Errorf("%d bytes, pid %d, configuration of %d bytes, specification %v", len(info["info"]), got.PID, len(got.Config), got.RuntimeSpec)
	}
	small := map[string]string{"info": `{"a":1}`}
	if same, err := fitInfo(small); err != nil || same["info"] != `{"a":1}` {
		t.Errorf("a small one became %v, %v", same, err)
	}
}

// FuzzEncodeInfo: no text that a verbose answer may have in it makes one that is no JSON object.
func FuzzEncodeInfo(f *testing.F) {
	f.Add("x", "y")
	f.Add("{", "\xff\"")
	f.Fuzz(func(t *testing.T, key, text string) {
		values := map[string]any{"a": text, "b": []string{text}, "c": map[string]string{key: text}, "d": []any{nil, text}}
		got, err := encodeInfo(values)
		if err != nil {
			t.Fatal(err)
		}
		for name, raw := range got {
			var object map[string]any
			if err := json.Unmarshal([]byte(raw), &object); err != nil {
				t.Errorf("%s is %q: %v", name, raw, err)
			}
		}
	})
}
