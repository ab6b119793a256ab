package metrics

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/grpc"
)

//go:generate go test -run TestDocumentation -update .

const documentation = "../docs/metrics.md"

// marker separates what is written by hand from what is generated.
const marker = "<!-- Generated from the descriptors by `go generate ./metrics`. -->\n"

// full has every instrument, each used once: what was never used is not gathered.
func full(t *testing.T) *Metrics {
	t.Helper()
	m := New(Build{})
	ctx, failed := context.Background(), fmt.Errorf("x")
	s := NewSampler(v2Host(t), &listSource{}, Options{})
	t.Cleanup(s.Close)
	if err := m.RegisterSource(&listSource{}); err != nil {
		t.Fatal(err)
	}
	if err := m.RegisterSampler(s); err != nil {
		t.Fatal(err)
	}
	m.RegisterPulls(func() []PullProgress { return []PullProgress{{Image: "i", Stage: "s"}} })
	m.RegisterDetachQueue(func() DetachQueue { return DetachQueue{} })
	m.RegisterHanging(func() []Hanging { return nil })
	m.RegisterEvents(func() int { return 0 }, func() uint64 { return 0 })
	m.RegisterChecks([]Check{{"c", func() error { return nil }}})
	m.RegisterDamage(0)
	counted := make(chan struct{})
	t.Cleanup(m.RegisterLeaks(func(context.Context) (map[string]int, error) {
		defer close(counted)
		return map[string]int{"k": 0}, nil
	}))
	_, _ = m.Registry.Gather() // asks for leaks
	<-counted
	m.Stages.Observe(ctx, "o", "s", 0, failed)
	m.CNI.Plugin("p", "ADD", 0, nil)
	m.CNI.Operation("ADD", 0, nil)
	m.CNI.ConfigChanged(true)
	m.Images.Pulled(Pull{})
	m.Images.Fetched("h", 1)
	m.Images.HostFailed("h", "network")
	m.Exits.Ended("Completed", 0)
	m.Task.Begin(ctx, "c")(failed)
	m.Shim.Begin(ctx, "c")(failed)
	_, _ = m.RPC.Unary()(ctx, nil, &grpc.UnaryServerInfo{}, func(context.Context, any) (any, error) { return nil, nil })
	return m
}

// described is one metric of the documentation.
type described struct {
	name, kind, labels, help string
}

func describe(t *testing.T) (containers, runtime []described) {
	t.Helper()
	m := full(t)
	for _, f := range families() {
		containers = append(containers, described{f.name, strings.ToLower(f.kind.String()), strings.Join(f.labels, ", "), f.help})
	}
	kinds := map[string]*dto.MetricFamily{}
	eventually(t, func() bool {
		gathered, err := m.Registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range gathered {
			kinds[f.GetName()] = f
		}
		return kinds["berth_leaked_objects"] != nil
	})
	descs := make(chan *prometheus.Desc, 1000)
	m.Registry.Describe(descs)
	close(descs)
	seen := map[string]bool{}
	for d := range descs {
		name := regexp.MustCompile(`fqName: "([^"]*)"`).FindStringSubmatch(d.String())[1]
		if seen[name] || strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_") {
			continue
		}
		seen[name] = true
		f := kinds[name]
		if f == nil {
			t.Fatalf("%s has no value: function full has to use it", name)
		}
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		runtime = append(runtime, described{name, strings.ToLower(f.GetType().String()), strings.Join(labels, ", "), f.GetHelp()})
	}
	byName := func(a, b described) int { return strings.Compare(a.name, b.name) }
	slices.SortFunc(containers, byName)
	slices.SortFunc(runtime, byName)
	return containers, runtime
}

// The last part of docs/metrics.md is made from the descriptors.
func TestDocumentation(t *testing.T) {
	have, err := os.ReadFile(documentation)
	if err != nil {
		t.Fatal(err)
	}
	byHand, generated, ok := strings.Cut(string(have), marker)
	if !ok {
		t.Fatalf("%s has no line %s", documentation, marker)
	}
	containers, runtime := describe(t)
	var b strings.Builder
	b.WriteString("\n### Containers and pods\n\nAll have the labels " + strings.Join(baseLabels(), ", ") + "; further ones are named.\n\n")
	table(&b, containers)
	b.WriteString("\n### The runtime\n\nThe Go runtime's metrics (`go_*`) and those of the process (`process_*`) come on top.\n\n")
	table(&b, runtime)
	if *update {
		if err := os.WriteFile(documentation, []byte(byHand+marker+b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if generated != b.String() {
		t.Errorf("%s is not up to date; run: go generate ./metrics", documentation)
	}
}

func table(b *strings.Builder, all []described) {
	b.WriteString("| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n")
	for _, d := range all {
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", d.name, d.kind, d.labels, strings.ReplaceAll(d.help, "|", "\\|"))
	}
}

// Every container metric of cAdvisor is there, or is named among what is not, with the reason.
func TestCAdvisor(t *testing.T) {
	list, err := os.ReadFile("testdata/cadvisor-v0.56.2.txt")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(documentation)
	if err != nil {
		t.Fatal(err)
	}
	_, left, _ := strings.Cut(string(text), "## What cAdvisor has and Berth has not")
	left, _, _ = strings.Cut(left, "\n## ")
	have := map[string]bool{}
	for _, f := range families() {
		have[f.name] = true
	}
	for _, name := range strings.Fields(string(list)) {
		if excused := strings.Contains(left, "| `"+name+"`") || strings.Contains(left, ", `"+name+"`"); have[name] == excused {
			t.Errorf("%s: there %v, left out according to the documentation %v", name, have[name], excused)
		}
	}
}

// Dashboards and rules ask for metrics that exist, and each alert is explained.
func TestDeployed(t *testing.T) {
	containers, runtime := describe(t)
	known := map[string]bool{"up": true}
	for _, d := range append(containers, runtime...) {
		known[d.name] = true
		if d.kind == "histogram" {
			known[d.name+"_bucket"], known[d.name+"_sum"], known[d.name+"_count"] = true, true, true
		}
	}
	rules := read(t, "../deploy/prometheus/berth-rules.yml")
	recorded := map[string]bool{}
	for _, m := range regexp.MustCompile(`record: (\S+)`).FindAllStringSubmatch(rules, -1) {
		recorded[m[1]] = true
	}
	name := regexp.MustCompile(`[a-z]+:[a-z0-9_:]+|\b(?:berth|container)_[a-z0-9_]+`)
	alerts := read(t, "../deploy/prometheus/berth-alerts.yml")
	boards, err := filepath.Glob("../deploy/grafana/*.json")
	if err != nil || len(boards) != 2 {
		t.Fatal(boards, err)
	}
	texts := map[string]string{"rules": rules, "alerts": alerts}
	for _, board := range boards {
		texts[board] = strings.Join(expressions(t, board), "\n")
	}
	for where, text := range texts {
		for _, n := range name.FindAllString(text, -1) {
			if !known[n] && !recorded[n] {
				t.Errorf("%s asks for %s, which is not there", where, n)
			}
		}
	}
	doc := read(t, documentation)
	for _, m := range regexp.MustCompile(`alert: (\S+)`).FindAllStringSubmatch(alerts, -1) {
		if !strings.Contains(doc, "\n### "+m[1]+"\n") {
			t.Errorf("%s does not explain %s", documentation, m[1])
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// expressions are the queries of a dashboard.
func expressions(t *testing.T, path string) []string {
	t.Helper()
	var board struct {
		Panels []struct {
			Targets []struct {
				Expr string `json:"expr"`
			} `json:"targets"`
		} `json:"panels"`
	}
	if err := json.Unmarshal([]byte(read(t, path)), &board); err != nil {
		t.Fatal(path, err)
	}
	var out []string
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			out = append(out, target.Expr)
		}
	}
	if len(out) < 10 {
		t.Errorf("%s has %d queries", path, len(out))
	}
	return out
}
