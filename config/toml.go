package config

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/berth-run/berth/config/suggest"
)

// readTOML decodes one document on top of c. The document is first compared
// with the types, key by key: that finds all wrong keys at once and can say what
// was meant, and it yields the line of every key for the checks that follow.
func (c *Config) readTOML(name string, data []byte) Problems {
	r := reader{config: c, file: name}
	r.parser.Reset(data)
	var table []string
	for r.parser.NextExpression() {
		switch e := r.parser.Expression(); e.Kind {
		case unstable.Table, unstable.ArrayTable:
			table = r.table(e)
		case unstable.KeyValue:
			r.keyValue(table, e)
		}
	}
	if len(r.problems) > 0 {
		return r.problems
	}
	if err := toml.Unmarshal(data, c); err != nil {
		return Problems{decodeProblem(name, err)}
	}
	return nil
}

// decodeProblem translates what is left for go-toml to find: bad syntax, and
// text that the types refuse.
func decodeProblem(file string, err error) Problem {
	p := Problem{Origin: Origin{File: file}, Message: err.Error()}
	var de *toml.DecodeError
	if errors.As(err, &de) {
		p.Origin.Line, _ = de.Position()
		p.Key = strings.Join(de.Key(), ".")
		p.Message = strings.TrimPrefix(de.Error(), "toml: ")
	}
	return p
}

// reader compares one document with the types.
type reader struct {
	config   *Config
	file     string
	parser   unstable.Parser
	problems Problems
}

// table handles a [header] and returns its key.
func (r *reader) table(e *unstable.Node) []string {
	var path []string
	line := 0
	for it := e.Key(); it.Next(); {
		if line == 0 {
			line = r.line(it.Node())
		}
		path = append(path, string(it.Node().Data))
	}
	f, ok := r.lookup(path, line)
	if !ok {
		return path
	}
	if e.Kind == unstable.ArrayTable || !isTable(f) {
		r.complain(path, line, "is not a table; it must be %s", expected(f))
	}
	return path
}

// keyValue handles "key = value" below a table, also inside of inline tables.
func (r *reader) keyValue(table []string, e *unstable.Node) {
	path := append([]string(nil), table...)
	line := 0
	for it := e.Key(); it.Next(); {
		if line == 0 {
			line = r.line(it.Node())
		}
		path = append(path, string(it.Node().Data))
	}
	t, ok := r.lookup(path, line)
	if !ok {
		return
	}
	value := e.Value()
	if value.Kind == unstable.InlineTable && isTable(t) {
		for it := value.Children(); it.Next(); {
			r.keyValue(path, it.Node())
		}
		return
	}
	if got := mismatch(t, value); got != "" {
		r.complain(path, line, "must be %s, is %s", expected(t), got)
	}
}

// lookup finds the type of a key, records where the key is, and makes sure that
// a handler starts from its defaults. An unknown key is complained about once,
// at its table when that is unknown already.
func (r *reader) lookup(path []string, line int) (reflect.Type, bool) {
	t := reflect.TypeOf(Config{})
	for i, part := range path {
		next, ok := step(t, part)
		if !ok {
			if !r.retire(path[:i+1], line) {
				r.unknown(path[:i+1], line, t)
			}
			return nil, false
		}
		if next == handlerType {
			r.config.ensureHandler(part)
		}
		t = next
	}
	r.config.setOrigin(strings.Join(path, "."), Origin{File: r.file, Line: line})
	return t, true
}

func (r *reader) unknown(path []string, line int, parent reflect.Type) {
	key := strings.Join(path, ".")
	for _, p := range r.problems {
		if p.Key == key && p.Origin.File == r.file {
			return
		}
	}
	if !isTable(parent) {
		r.complain(path, line, "unknown key: %s is %s", strings.Join(path[:len(path)-1], "."), expected(parent))
		return
	}
	if near := suggest.Nearest(path[len(path)-1], keysOf(parent)); near != "" {
		r.complain(path, line, "unknown key; did you mean %q?", near)
		return
	}
	if len(path) == 1 {
		r.complain(path, line, "unknown key")
		return
	}
	r.complain(path, line, "unknown key; [%s] has %s",
		strings.Join(path[:len(path)-1], "."), strings.Join(keysOf(parent), ", "))
}

func (r *reader) complain(path []string, line int, format string, args ...any) {
	r.problems = append(r.problems, Problem{
		Origin:  Origin{File: r.file, Line: line},
		Key:     strings.Join(path, "."),
		Message: fmt.Sprintf(format, args...),
	})
}

// line returns the line of a node of kind Key.
func (r *reader) line(n *unstable.Node) int {
	return r.parser.Shape(n.Raw).Start.Line
}

// ensureHandler makes a handler that is mentioned for the first time start from
// the defaults rather than from zeros.
func (c *Config) ensureHandler(name string) {
	if c.Runtime.Handlers == nil {
		c.Runtime.Handlers = make(map[string]Handler)
	}
	if _, ok := c.Runtime.Handlers[name]; !ok {
		c.Runtime.Handlers[name] = DefaultHandler()
	}
}
