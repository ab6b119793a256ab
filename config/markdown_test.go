package config

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

//go:generate go test -run TestDocumentation -update .

var update = flag.Bool("update", false, "write docs/configuration.md")

const documentation = "../docs/configuration.md"

// marker separates what is written by hand from what is generated.
const marker = "<!-- Generated from the doc comments in config/types_*.go by `go generate ./config`. -->\n"

// The second half of docs/configuration.md is made from the types.
func TestDocumentation(t *testing.T) {
	have, err := os.ReadFile(documentation)
	if err != nil {
		t.Fatal(err)
	}
	byHand, generated, ok := strings.Cut(string(have), marker)
	if !ok {
		t.Fatalf("%s has no line %s", documentation, marker)
	}
	want := markdown()
	if *update {
		if err := os.WriteFile(documentation, []byte(byHand+marker+want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if generated != want {
		t.Errorf("%s is not up to date; run: go generate ./config", documentation)
	}
}

func markdown() string {
	c := Default()
	c.Runtime.Handlers = map[string]Handler{"NAME": DefaultHandler()}
	var b strings.Builder
	for _, s := range c.sections() {
		if s.name == "runtime.handlers" || s.name == "container.ulimits" {
			continue // their keys stand for themselves, see withMaps
		}
		title := "Top level"
		if s.name != "" {
			title = "[" + s.name + "]"
		}
		fmt.Fprintf(&b, "\n### %s\n\n", title)
		if s.doc != "" {
			fmt.Fprintf(&b, "%s\n\n", escape(s.doc))
		}
		b.WriteString("| key | default | meaning |\n| --- | --- | --- |\n")
		for _, e := range withMaps(s) {
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", strings.TrimPrefix(e[0], s.name+"."), e[1], escape(e[2]))
		}
	}
	return b.String()
}

// withMaps returns key, default and meaning of a section's keys, including the
// tables whose keys the user chooses.
func withMaps(s section) [][3]string {
	var rows [][3]string
	for _, e := range s.entries {
		line, err := assignment(e)
		if err != nil {
			panic(err)
		}
		_, value, _ := strings.Cut(line, " = ")
		value = "`" + value + "`"
		if strings.Contains(e.doc, "Default: ") && (value == "`\"\"`" || value == "`[]`") {
			value = "see there"
		}
		rows = append(rows, [3]string{e.key, value, e.doc})
	}
	switch s.name {
	case "container":
		rows = append(rows, [3]string{"container.ulimits.NAME", "none", fieldDocs()["Container.Ulimits"]})
	case "runtime":
		rows = append(rows, [3]string{"runtime.handlers.NAME", "`runc`", fieldDocs()["Runtime.Handlers"]})
	}
	return rows
}

func escape(s string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;", ">", "&gt;", "*", `\*`).Replace(s)
}
