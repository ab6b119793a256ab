package config

import (
	"encoding"
	"fmt"
	"reflect"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

var (
	handlerType  = reflect.TypeOf(Handler{})
	durationType = reflect.TypeOf(Duration{})
	ulimitType   = reflect.TypeOf(Ulimit{})
	textType     = reflect.TypeOf((*encoding.TextUnmarshaler)(nil)).Elem()
)

// isText reports whether a type is written as a string and parses it itself.
func isText(t reflect.Type) bool { return reflect.PointerTo(t).Implements(textType) }

// isTable reports whether a type is a TOML table.
func isTable(t reflect.Type) bool {
	return t.Kind() == reflect.Map || t.Kind() == reflect.Struct && !isText(t)
}

// step returns the type of a key inside of a table.
func step(t reflect.Type, key string) (reflect.Type, bool) {
	if !isTable(t) {
		return nil, false
	}
	if t.Kind() == reflect.Map {
		return t.Elem(), true
	}
	for i := range t.NumField() {
		if f := t.Field(i); f.Tag.Get("toml") == key && key != "" {
			return f.Type, true
		}
	}
	return nil, false
}

// keysOf lists the keys of a table that has fixed ones.
func keysOf(t reflect.Type) []string {
	var keys []string
	if t.Kind() != reflect.Struct {
		return nil
	}
	for i := range t.NumField() {
		if key := t.Field(i).Tag.Get("toml"); key != "" {
			keys = append(keys, key)
		}
	}
	return keys
}

// expected describes the values of a type.
func expected(t reflect.Type) string {
	switch {
	case t == durationType:
		return `a duration such as "10s"`
	case t == ulimitType:
		return `a limit such as "1024:524288"`
	case isTable(t):
		return "a table"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64:
		return "an integer"
	case reflect.Slice:
		return "an array of strings"
	default:
		return "a string"
	}
}

// mismatch returns what a value is when that is not what the type wants, and ""
// when it fits.
func mismatch(t reflect.Type, value *unstable.Node) string {
	fits := false
	switch {
	case isTable(t):
	case t == ulimitType:
		fits = value.Kind == unstable.String || value.Kind == unstable.Integer
	case isText(t), t.Kind() == reflect.String:
		fits = value.Kind == unstable.String
	case t.Kind() == reflect.Bool:
		fits = value.Kind == unstable.Bool
	case t.Kind() == reflect.Int, t.Kind() == reflect.Int64:
		fits = value.Kind == unstable.Integer
	case t.Kind() == reflect.Slice && value.Kind == unstable.Array:
		for it := value.Children(); it.Next(); {
			if got := mismatch(t.Elem(), it.Node()); got != "" {
				return "an array with " + got
			}
		}
		fits = true
	}
	if fits {
		return ""
	}
	return describe(value)
}

// describe names a value as it was written.
func describe(value *unstable.Node) string {
	switch value.Kind {
	case unstable.String:
		return fmt.Sprintf("the string %q", value.Data)
	case unstable.Array:
		return "an array"
	case unstable.InlineTable:
		return "a table"
	default:
		return fmt.Sprintf("the %s %s", strings.ToLower(value.Kind.String()), value.Data)
	}
}
