package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/berth-run/berth/test/images"
)

// tree is what the names are looked up in.
type tree struct {
	root    string
	names   map[string]map[string]bool // package name: what it declares, methods as Type.Method too
	tests   map[string]bool            // tests, fuzz targets and benchmarks
	targets map[string]bool            // of the Makefile
	texts   []text
	pkgs    map[string]string // file: its package
}

// text is a document, or the comments of a Go file.
type text struct{ file, content string }

// skipped are directories that are not part of the source.
var skipped = map[string]bool{".git": true, "bin": true, "build": true, "dist": true, "testdata": true}

func read(t *testing.T) *tree {
	t.Helper()
	root, err := images.Root()
	if err != nil {
		t.Fatal(err)
	}
	tr := &tree{root: root, names: map[string]map[string]bool{}, tests: map[string]bool{}, targets: map[string]bool{}, pkgs: map[string]string{}}
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && skipped[d.Name()]:
			return filepath.SkipDir
		case strings.HasSuffix(path, ".go"):
			return tr.readGo(path)
		case strings.HasSuffix(path, ".md"):
			return tr.readText(path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^([a-z0-9-]+):`).FindAllSubmatch(makefile, -1) {
		tr.targets[string(m[1])] = true
	}
	return tr
}

func (tr *tree) readText(path string) error {
	content, err := os.ReadFile(path)
	tr.texts = append(tr.texts, text{path, string(content)})
	return err
}

// readGo notes what a Go file declares, and keeps its comments.
func (tr *tree) readGo(path string) error {
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
	if err != nil {
		return err
	}
	var comments strings.Builder
	for _, c := range f.Comments {
		comments.WriteString(c.Text())
	}
	tr.texts = append(tr.texts, text{path, comments.String()})
	pkg := strings.TrimSuffix(f.Name.Name, "_test")
	tr.pkgs[path] = pkg
	if tr.names[pkg] == nil {
		tr.names[pkg] = map[string]bool{}
	}
	for _, d := range f.Decls {
		tr.declare(tr.names[pkg], d)
	}
	return nil
}

func (tr *tree) declare(names map[string]bool, d ast.Decl) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		names[d.Name.Name] = true
		if regexp.MustCompile(`^(Test|Fuzz|Benchmark)[A-Z]`).MatchString(d.Name.Name) {
			tr.tests[d.Name.Name] = true
		}
	case *ast.GenDecl:
		for _, s := range d.Specs {
			switch s := s.(type) {
			case *ast.TypeSpec:
				names[s.Name.Name] = true
			case *ast.ValueSpec:
				for _, n := range s.Names {
					names[n.Name] = true
				}
			}
		}
	}
}

// foreign are names of other modules in packages that are called as one of Berth's.
var foreign = map[string]bool{"api.ContainersClient": true}

// someTest reports whether a name with a * at its end, such as TestSeats*, stands for tests.
func (tr *tree) someTest(name string) bool {
	prefix, ok := strings.CutSuffix(name, "*")
	for test := range tr.tests {
		if ok && strings.HasPrefix(test, prefix) {
			return true
		}
	}
	return false
}

// packageOf is what the package of a file declares.
func (tr *tree) packageOf(file string) map[string]bool { return tr.names[tr.pkgs[file]] }

// exists reports whether a path is in the tree, as seen from its root or from the file that names it.
func (tr *tree) exists(from, path string) bool {
	for _, dir := range []string{tr.root, filepath.Dir(from)} {
		if found, _ := filepath.Glob(filepath.Join(dir, path)); found != nil {
			return true
		}
	}
	return false
}

// eachName calls fn for each match of the expression's first group in documents and comments.
func (tr *tree) eachName(expression string, fn func(file, name string)) {
	re := regexp.MustCompile(expression)
	for _, x := range tr.texts {
		rel, _ := filepath.Rel(tr.root, x.file)
		for _, m := range re.FindAllStringSubmatch(x.content, -1) {
			fn(rel, m[1])
		}
	}
}

// TestNamesExist: paths, tests, make targets and exported names of Berth's packages that documents and
// comments speak of exist.
func TestNamesExist(t *testing.T) {
	tr := read(t)
	// A path of a source file, a document or a directory of the tree.
	tr.eachName(`(?:^|[\s(\x60"])((?:[a-z0-9_.-]+/)+[a-z0-9_*.-]+\.(?:go|md|service|yaml|sh|toml))(?:$|[\s)\x60",.:;])`, func(file, path string) {
		first, _, _ := strings.Cut(path, "/")
		if _, err := os.Stat(filepath.Join(tr.root, first)); err == nil && !tr.exists(filepath.Join(tr.root, file), path) {
			t.Errorf("%s names %s, which does not exist", file, path)
		}
	})
	tr.eachName(`\]\(([a-zA-Z0-9_./-]+)(?:#[^)]*)?\)`, func(file, link string) {
		if !tr.exists(filepath.Join(tr.root, file), link) {
			t.Errorf("%s links to %s, which does not exist", file, link)
		}
	})
	tr.eachName(`\b((?:Test|Fuzz|Benchmark)[A-Z][A-Za-z0-9]+\*?)`, func(file, name string) {
		if !tr.tests[name] && !tr.someTest(name) {
			t.Errorf("%s names %s, which is no test", file, name)
		}
	})
	tr.eachName("`make ([a-z0-9-]+)", func(file, name string) {
		if !tr.targets[name] {
			t.Errorf("%s says make %s, which is no target", file, name)
		}
	})
	tr.eachName(`(?:^|[\s(\x60\[])([a-z]+\.[A-Z][A-Za-z0-9]+)\b`, func(file, name string) {
		pkg, id, _ := strings.Cut(name, ".")
		if declared, ours := tr.names[pkg]; ours && !declared[id] && !foreign[name] {
			t.Errorf("%s names %s, which package %s does not declare", file, name, pkg)
		}
	})
}

// TestDocLinks: what a comment links to with brackets is declared, in its own package when no other one is named.
func TestDocLinks(t *testing.T) {
	tr := read(t)
	link := regexp.MustCompile(`\[\*?([A-Z][A-Za-z0-9]*)(?:\.([A-Z][A-Za-z0-9]*))?\]`)
	for _, x := range tr.texts {
		if !strings.HasSuffix(x.file, ".go") {
			continue
		}
		for _, m := range link.FindAllStringSubmatch(x.content, -1) {
			if names := tr.packageOf(x.file); !names[m[1]] && !wordsInBrackets[m[1]] {
				t.Errorf("%s links to %s, which its package does not declare", x.file, m[0])
			}
		}
	}
}

// wordsInBrackets are no links.
var wordsInBrackets = map[string]bool{"NAME": true, "N": true}
