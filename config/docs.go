package config

import (
	"embed"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"strings"
	"sync"
)

// The users' documentation of a key is the doc comment of its field, taken from
// the source itself: there is no second text that could drift away.
//
//go:embed types_*.go
var typeSources embed.FS

// fieldDocs maps "Type.Field" to its doc comment.
var fieldDocs = sync.OnceValue(func() map[string]string {
	docs := make(map[string]string)
	entries, err := typeSources.ReadDir(".")
	for _, e := range entries {
		var src []byte
		if src, err = typeSources.ReadFile(e.Name()); err != nil {
			break
		}
		var file *ast.File
		if file, err = parser.ParseFile(token.NewFileSet(), e.Name(), src, parser.ParseComments); err != nil {
			break
		}
		ast.Inspect(file, func(n ast.Node) bool { collectDocs(docs, n); return true })
	}
	if err != nil {
		panic(fmt.Sprintf("config: own source cannot be parsed: %v", err)) // it was compiled
	}
	return docs
})

func collectDocs(docs map[string]string, n ast.Node) {
	spec, ok := n.(*ast.TypeSpec)
	if !ok {
		return
	}
	st, ok := spec.Type.(*ast.StructType)
	if !ok {
		return
	}
	for _, f := range st.Fields.List {
		for _, name := range f.Names {
			docs[spec.Name.Name+"."+name.Name] = strings.Join(strings.Fields(f.Doc.Text()), " ")
		}
	}
}

// entry is one key of the configuration, with its value.
type entry struct {
	// key is the dotted key.
	key string
	// doc is what the key means.
	doc   string
	value reflect.Value
}

// section is a table of the configuration; the first one is the top level.
type section struct {
	// name is the dotted name, empty for the top level.
	name    string
	doc     string
	entries []entry
}

// sections lists all keys of c in the order of the types, tables after the
// plain keys as TOML wants them.
func (c *Config) sections() []section {
	return appendSections(nil, "", "", reflect.ValueOf(c).Elem())
}

func appendSections(list []section, name, doc string, v reflect.Value) []section {
	s := section{name: name, doc: doc}
	var tables []func([]section) []section
	t := v.Type()
	for i := range t.NumField() {
		f, key := t.Field(i), t.Field(i).Tag.Get("toml")
		if key == "" {
			continue
		}
		if name != "" {
			key = name + "." + key
		}
		doc := fieldDocs()[t.Name()+"."+f.Name]
		switch value := v.Field(i); {
		case isTable(f.Type) && f.Type.Kind() == reflect.Struct:
			tables = append(tables, func(l []section) []section { return appendSections(l, key, doc, value) })
		case isTable(f.Type):
			tables = append(tables, func(l []section) []section { return appendMap(l, key, doc, value) })
		default:
			s.entries = append(s.entries, entry{key: key, doc: doc, value: value})
		}
	}
	list = append(list, s)
	for _, add := range tables {
		list = add(list)
	}
	return list
}

// appendMap lists a table whose keys the user chooses.
func appendMap(list []section, name, doc string, v reflect.Value) []section {
	s := section{name: name, doc: doc}
	var tables []section
	for _, key := range sortedKeys(mapKeys(v)) {
		value, full := v.MapIndex(reflect.ValueOf(key)), name+"."+quoteKey(key)
		if isTable(value.Type()) {
			tables = appendSections(tables, full, "", value)
		} else {
			s.entries = append(s.entries, entry{key: full, value: value})
		}
	}
	return append(append(list, s), tables...)
}

func mapKeys(v reflect.Value) map[string]struct{} {
	keys := make(map[string]struct{}, v.Len())
	for _, k := range v.MapKeys() {
		keys[k.String()] = struct{}{}
	}
	return keys
}

// quoteKey quotes a key that TOML would not take bare.
func quoteKey(key string) string {
	for _, r := range key {
		if !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '_' || r == '-') {
			return fmt.Sprintf("%q", key)
		}
	}
	return key
}
