package cri

import (
	"encoding/json"
	"maps"
	"testing"
)

// TestEncodeInfo: whatever is told is a JSON object, the only thing that crictl does not print as text.
func TestEncodeInfo(t *testing.T) {
	got, err := encodeInfo(map[string]any{
		"object": map[string]any{"a": 1}, "list": []string{"x"}, "text": `say "x"`, "number": 7, "none": nil,
		"raw": json.RawMessage(`[1]`),
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"object": `{"a":1}`, "list": `{"items":["x"]}`, "text": `{"value":"say \"x\""}`, "number": `{"value":7}`,
		"none": `{"value":null}`, "raw": `{"items":[1]}`,
	}
	if !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if _, err := encodeInfo(map[string]any{"f": func() {}}); err == nil {
		t.Error("a function was encoded")
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
