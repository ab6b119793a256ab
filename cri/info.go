package cri

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// encodeInfo makes the info of a verbose answer: a JSON object under each name. crictl decodes
// objects and prints everything else as text, so that a list becomes an object with the one key
// "items", and a single value one with the key "value".
func encodeInfo(values map[string]any) (map[string]string, error) {
	out := make(map[string]string, len(values))
	for name, value := range values {
		raw, err := json.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("encode %s of a verbose answer: %w", name, err)
		}
		switch {
		case bytes.HasPrefix(raw, []byte("{")):
			out[name] = string(raw)
		case bytes.HasPrefix(raw, []byte("[")):
			out[name] = `{"items":` + string(raw) + `}`
		default:
			out[name] = `{"value":` + string(raw) + `}`
		}
	}
	return out, nil
}
