package cri

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/berth-run/berth/internal/budget"
)

// encodeInfo makes the info of a verbose answer: a JSON object under each name. crictl decodes JSON objects and prints
// every other value as text. So a list becomes an object with the one key "items", and a single value becomes an
// object with the one key "value". An empty list has no items, whether or not its slice is nil.
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
		case reflect.ValueOf(value).Kind() == reflect.Slice && string(raw) == "null":
			out[name] = `{"items":[]}`
		case bytes.HasPrefix(raw, []byte("[")):
			out[name] = `{"items":` + string(raw) + `}`
		default:
			out[name] = `{"value":` + string(raw) + `}`
		}
	}
	return out, nil
}

// mostInfo bounds the info of a verbose answer, in bytes: the rest of the message is the status.
const mostInfo = budget.Message - budget.StreamMessage

// fitInfo leaves out the largest parts of an info until it fits into a message: a request of some MiB is
// in it twice, as the configuration and as the OCI specification made of it. What was left out says its size.
func fitInfo(info map[string]string) (map[string]string, error) {
	for name, raw := range info {
		if len(raw) <= mostInfo/len(info) {
			continue
		}
		var parts map[string]json.RawMessage
		if err := json.Unmarshal([]byte(raw), &parts); err != nil {
			return nil, fmt.Errorf("shorten %s of a verbose answer: %w", name, err)
		}
		omitParts(parts, len(raw)-mostInfo/len(info))
		short, err := json.Marshal(parts)
		if err != nil {
			return nil, fmt.Errorf("shorten %s of a verbose answer: %w", name, err)
		}
		info[name] = string(short)
	}
	return info, nil
}

// omitParts replaces the largest parts until excess bytes are gone.
func omitParts(parts map[string]json.RawMessage, excess int) {
	for range parts {
		if excess <= 0 {
			return
		}
		largest := ""
		for name, part := range parts {
			if len(part) > len(parts[largest]) {
				largest = name
			}
		}
		note := fmt.Appendf(nil, `{"omitted":"%d bytes, more than fit into a message"}`, len(parts[largest]))
		excess -= len(parts[largest]) - len(note)
		parts[largest] = note
	}
}

// withInfo puts the info that a function gives into a verbose answer.
func withInfo[R any](resp R, into *map[string]string, info func() (map[string]string, error)) (R, error) {
	all, err := info()
	if err == nil {
		*into, err = fitInfo(all)
	}
	return resp, err
}
