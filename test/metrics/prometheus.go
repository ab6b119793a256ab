package metrics

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// Prometheus is a real server (Debian's package prometheus) that scrapes one daemon.
type Prometheus struct{ address string }

const prometheusConfig = `global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [%q]
scrape_configs:
  - job_name: berth
    static_configs: [{targets: ["%s"]}]
`

// StartPrometheus starts one that scrapes target (host:port) every second, with the rules of
// deploy/. It ends with the test, which is skipped where there is none.
func StartPrometheus(t testing.TB, target string) *Prometheus {
	t.Helper()
	binary, err := exec.LookPath("prometheus")
	if err != nil {
		t.Skip("needs Debian's package prometheus")
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "prometheus.yml")
	rules, err := filepath.Abs("../../deploy/prometheus/berth-rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, fmt.Appendf(nil, prometheusConfig, rules, target), 0o644); err != nil {
		t.Fatal(err)
	}
	p := &Prometheus{address: freeAddress(t)}
	logFile, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+p.address, "--log.level=warn")
	cmd.Stdout, cmd.Stderr = logFile, logFile
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			text, _ := os.ReadFile(logFile.Name())
			t.Logf("prometheus: %s", text)
		}
		logFile.Close()
	})
	Eventually(t, 20*time.Second, "Prometheus scrapes the daemon", func() bool {
		v, ok := p.Query(`up{job="berth"}`)
		return ok && v == 1
	})
	return p
}

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Query asks for a query with one result; false when it has none.
func (p *Prometheus) Query(query string) (float64, bool) {
	values, err := p.Values(query)
	if err != nil || len(values) != 1 {
		return 0, false
	}
	return values[0], true
}

// Values are the values of all results of a query. It fails when the query is not understood.
func (p *Prometheus) Values(query string) ([]float64, error) {
	resp, err := http.Get("http://" + p.address + "/api/v1/query?query=" + url.QueryEscape(query))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var answer struct {
		Error string `json:"error"`
		Data  struct {
			Result []struct {
				Value [2]any `json:"value"`
			} `json:"result"`
		} `json:"data"`
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return nil, err
	}
	if answer.Error != "" {
		return nil, fmt.Errorf("query %s: %s", query, answer.Error)
	}
	var values []float64
	for _, r := range answer.Data.Result {
		s, _ := r.Value[1].(string)
		v, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return nil, fmt.Errorf("query %s: value %q: %w", query, s, err)
		}
		values = append(values, v)
	}
	return values, nil
}

// Expect waits until a query's one result is in the range, ends included.
func (p *Prometheus) Expect(t testing.TB, query string, low, high float64) {
	t.Helper()
	var last any = "nothing"
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(250 * time.Millisecond) {
		if v, ok := p.Query(query); ok {
			if last = v; v >= low && v <= high {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Errorf("%s: %v, want %v to %v", query, last, low, high)
			return
		}
	}
}

// ExpectNone waits until a query has no result.
func (p *Prometheus) ExpectNone(t testing.TB, query string) {
	t.Helper()
	Eventually(t, 20*time.Second, query+" is gone", func() bool {
		v, ok := p.Query("count(" + query + ") or vector(0)")
		return ok && v == 0
	})
}

// Eventually fails the test when ok has not become true in time.
func Eventually(t testing.TB, within time.Duration, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); !ok(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s", what, within)
		}
	}
}
