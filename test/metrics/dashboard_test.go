package metrics_test

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
	"github.com/berth-run/berth/test/metrics"
)

// panel is one of a dashboard, with its queries.
type panel struct {
	Title, Type string
	GridPos     struct{ H, W, X, Y int }
	Targets     []struct{ Expr, LegendFormat string }
}

// dashboard reads one of deploy/grafana.
func dashboard(t *testing.T, name string) (panels []panel, variables []string) {
	t.Helper()
	text, err := os.ReadFile("../../deploy/grafana/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels     []panel
		Templating struct {
			List []struct {
				Type  string
				Query any
			}
		}
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	for _, v := range board.Templating.List {
		if query, ok := v.Query.(string); ok && v.Type == "query" {
			variables = append(variables, query)
		}
	}
	return board.Panels, variables
}

// quiet are panels that show nothing on a node where nothing is wrong, or that its kernel has no
// figures for.
var quiet = map[string]bool{
	"Calls that failed": true, "Calls under way": true, "CNI failures": true, "Pulls under way": true,
	"Registry failures": true, "Block devices": true,
}

// labelValues is how a variable of a dashboard asks for the values of a label.
var labelValues = regexp.MustCompile(`^label_values\((.*), (\w+)\)$`)

// TestDashboards: a real Prometheus with the recording rules answers every query of the dashboards
// while a node runs pods, and no panel lies over another.
func TestDashboards(t *testing.T) {
	d, address := endpoint(t, daemon.Options{})
	p := metrics.StartPrometheus(t, address)
	pod := d.RunPod(t)
	// A container with limits that does something, and one that ended.
	c := pod.RunWith(t, named("busy", &runtimeapi.LinuxContainerResources{
		CpuPeriod: 20000, CpuQuota: 10000, MemoryLimitInBytes: 64 << 20,
	}, "sh", "-c", "while :; do echo line; sleep .1; done")...)
	pod.Run(t).Stop(t, 0)
	c.Output(t, "true")
	meta := pod.Config.Metadata
	filled := strings.NewReplacer(
		"$instance", address, "$namespace", meta.Namespace, "$pod", meta.Name, "$__rate_interval", "15s",
	)
	for _, name := range []string{"berth-node", "berth-pod"} {
		panels, variables := dashboard(t, name)
		for _, v := range variables {
			m := labelValues.FindStringSubmatch(v)
			if m == nil {
				t.Errorf("%s: the variable asks %q", name, v)
				continue
			}
			answers(t, p, filled.Replace("count by ("+m[2]+") ("+m[1]+")"), name+" variables")
		}
		for i, panel := range panels {
			for _, other := range panels[:i] {
				if overlap(panel, other) {
					t.Errorf("%s: %s lies over %s", name, panel.Title, other.Title)
				}
			}
			for _, target := range panel.Targets {
				query := filled.Replace(target.Expr)
				if _, err := p.Values(query); err != nil {
					t.Errorf("%s, %s: %v", name, panel.Title, err)
				} else if !quiet[panel.Title] {
					answers(t, p, query, name+", "+panel.Title)
				}
			}
		}
	}
}

// answers waits until a query has a result.
func answers(t *testing.T, p *metrics.Prometheus, query, what string) {
	t.Helper()
	for deadline := time.Now().Add(40 * time.Second); ; time.Sleep(500 * time.Millisecond) {
		values, err := p.Values(query)
		if err == nil && len(values) > 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("%s has nothing to show for %s: %v", what, query, err)
			return
		}
	}
}

func overlap(a, b panel) bool {
	p, q := a.GridPos, b.GridPos
	return p.X < q.X+q.W && q.X < p.X+p.W && p.Y < q.Y+q.H && q.Y < p.Y+p.H
}
