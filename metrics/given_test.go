package metrics

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/berth-run/berth/internal/cgroup"
)

// TestDescriptorsOfHost: what a host never has values of is not announced to the kubelet.
func TestDescriptorsOfHost(t *testing.T) {
	const huge, cost, cpu = "container_hugetlb_failcnt", "container_fs_io_cost_usage_seconds_total", "container_cpu_usage_seconds_total"
	unified := func(controllers, qos string) *cgroup.Host {
		root := t.TempDir()
		for name, text := range map[string]string{"cgroup.controllers": controllers, "io.cost.qos": qos} {
			if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		return &cgroup.Host{Root: root, Mode: cgroup.Unified}
	}
	for _, c := range []struct {
		what       string
		host       *cgroup.Host
		huge, cost bool
	}{
		{"v1", &cgroup.Host{Mode: cgroup.Legacy, Controllers: map[string]string{"memory": "/m"}}, false, false},
		{"v1 with huge pages", &cgroup.Host{Mode: cgroup.Hybrid, Controllers: map[string]string{"hugetlb": "/h"}}, true, false},
		{"v2", unified("cpu io memory pids\n", ""), false, false},
		{"v2 without a model", unified("cpu io\n", "254:0 enable=0 ctrl=auto\n"), false, false},
		{"v2 with all", unified("cpu hugetlb io\n", "254:0 enable=0\n8:0 enable=1 ctrl=user\n"), true, true},
	} {
		s := NewSampler(c.host, nil, Options{})
		announced := map[string]bool{}
		for _, d := range s.MetricDescriptors() {
			announced[d.GetName()] = true
		}
		s.Close()
		if announced[huge] != c.huge || announced[cost] != c.cost || !announced[cpu] {
			t.Errorf("%s: announced huge pages %v, io.cost %v, CPU %v", c.what, announced[huge], announced[cost], announced[cpu])
		}
	}
}
