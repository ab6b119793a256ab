package metrics_test

import (
	"context"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
)

// get fetches a URL with an Accept header; Go's client takes gzip apart.
func get(t *testing.T, url, accept string) string {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", accept)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", url, resp.Status, err)
	}
	return string(b)
}

// CRI's metrics and those of a scrape come from one sample and are the same to the digit.
func TestCRIAgrees(t *testing.T) {
	d, address := endpoint(t, daemon.Options{})
	pod := d.RunPod(t)
	pod.Run(t, "sh", "-c", "while :; do sleep 0.01; done")
	var scraped map[string]float64
	// The sample is of one second; a try that fell between two shows it by its time.
	for range 5 {
		resp, err := d.Runtime.ListPodSandboxMetrics(daemon.Context(t), &runtimeapi.ListPodSandboxMetricsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		scraped = values(t, get(t, "http://"+address+"/metrics", ""))
		descriptors, err := d.Runtime.ListMetricDescriptors(daemon.Context(t), &runtimeapi.ListMetricDescriptorsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if compare(t, resp.PodMetrics, descriptors.Descriptors, scraped) {
			return
		}
	}
	t.Error("five scrapes were of other samples than CRI's")
}

// compare is false where the two are of different samples.
func compare(t *testing.T, pods []*runtimeapi.PodSandboxMetrics, descriptors []*runtimeapi.MetricDescriptor, scraped map[string]float64) bool {
	t.Helper()
	keys, left := map[string][]string{}, map[string]bool{}
	for _, d := range descriptors {
		keys[d.Name] = d.LabelKeys
		left[d.Name] = strings.HasSuffix(d.Help, "/metrics leaves it out.")
	}
	n := 0
	different := []string{}
	for _, p := range pods {
		all := p.Metrics
		for _, c := range p.ContainerMetrics {
			all = append(all, c.Metrics...)
		}
		for _, m := range all {
			key := m.Name
			for i, k := range keys[m.Name] {
				key += "," + k + "=" + m.LabelValues[i]
			}
			v, ok := scraped[key]
			if left[m.Name] {
				if ok || m.GetValue().GetValue() != 0 {
					t.Errorf("%s is for the kubelet only, and zero: %v, scraped %v", key, m.GetValue(), ok)
				}
				continue
			}
			if !ok || uint64(v) != m.GetValue().GetValue() {
				different = append(different, key)
			}
			n++
		}
	}
	if n < 60 {
		t.Fatalf("CRI has %d metrics", n)
	}
	return len(different) == 0
}

// values are those of all gauges and counters by name and labels, in the descriptors' order.
func values(t *testing.T, text string) map[string]float64 {
	t.Helper()
	out := map[string]float64{}
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "container_") && !strings.HasPrefix(line, "berth_container_") {
			continue
		}
		name, rest, ok := strings.Cut(line, "{")
		labels, value, ok2 := strings.Cut(rest, `"} `)
		if !ok || !ok2 {
			continue
		}
		key := name
		for _, pair := range strings.Split(labels, `",`) {
			k, v, _ := strings.Cut(pair, `="`)
			key += "," + k + "=" + v
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		out[key] = v
	}
	return out
}

// Protobuf has native histograms, OpenMetrics ends as it must.
func TestFormats(t *testing.T) {
	d, address := endpoint(t, daemon.Options{})
	d.RunPod(t).Run(t)
	url := "http://" + address + "/metrics"
	if text := get(t, url, "application/openmetrics-text;version=1.0.0"); !strings.HasSuffix(text, "# EOF\n") || strings.Count(text, "# EOF") != 1 ||
		!strings.Contains(text, "# TYPE container_cpu_usage_seconds counter\n") {
		t.Errorf("OpenMetrics: …%s", text[max(0, len(text)-200):])
	}
	const accept = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
	families := map[string]*dto.MetricFamily{}
	dec := expfmt.NewDecoder(strings.NewReader(get(t, url, accept)), expfmt.NewFormat(expfmt.TypeProtoDelim))
	for {
		var f dto.MetricFamily
		if err := dec.Decode(&f); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		families[f.GetName()] = &f
	}
	if h := families["berth_stage_duration_seconds"].GetMetric(); len(h) == 0 || len(h[0].GetHistogram().GetPositiveSpan()) == 0 {
		t.Errorf("no native histogram: %v", h)
	}
	m := families["container_memory_usage_bytes"].GetMetric()
	if len(m) != 2 || m[0].GetGauge().GetValue() == 0 || len(m[0].GetLabel()) != 6 {
		t.Errorf("container_memory_usage_bytes: %v", m)
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		if body := get(t, "http://"+address+path, ""); !strings.HasSuffix(body, "ok\n") {
			t.Errorf("%s: %s", path, body)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	stream, err := d.Runtime.StreamPodSandboxMetrics(ctx, &runtimeapi.StreamPodSandboxMetricsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := stream.Recv(); err != nil || len(r.GetPodSandboxMetrics()) != 1 {
		t.Errorf("StreamPodSandboxMetrics: %v %v", r, err)
	}
}

// Whatever a daemon shows is in the documentation.
func TestDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	d, address := endpoint(t, daemon.Options{})
	d.RunPod(t).Run(t)
	for line := range strings.Lines(get(t, "http://"+address+"/metrics", "")) {
		name, ok := strings.CutPrefix(line, "# TYPE ")
		name, _, _ = strings.Cut(name, " ")
		if ok && !strings.HasPrefix(name, "go_") && !strings.HasPrefix(name, "process_") && !strings.Contains(string(doc), "| `"+name+"` |") {
			t.Errorf("docs/metrics.md does not have %s", name)
		}
	}
}
