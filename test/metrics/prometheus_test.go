package metrics_test

import (
	"fmt"
	"io"
	"net"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
	"github.com/berth-run/berth/test/images"
	"github.com/berth-run/berth/test/metrics"
)

// endpoint starts a daemon and gives the host:port of its metrics.
func endpoint(t *testing.T, opts daemon.Options) (*daemon.Daemon, string) {
	t.Helper()
	d := daemon.Start(t, opts)
	m := regexp.MustCompile(`metrics +http://([0-9.:]+)/metrics`).FindStringSubmatch(d.Log())
	if m == nil {
		t.Fatal("the daemon does not say where its metrics are")
	}
	return d, m[1]
}

// named gives a container its name, limits and command.
func named(name string, r *runtimeapi.LinuxContainerResources, command ...string) []daemon.ContainerOption {
	return []daemon.ContainerOption{daemon.WithImage(images.Tools), daemon.WithCommand(command...), func(c *runtimeapi.ContainerConfig) {
		c.Metadata.Name, c.Linux.Resources = name, r
	}}
}

// Queries of a real Prometheus answer what containers of known behaviour do.
func TestPrometheus(t *testing.T) {
	if _, err := exec.LookPath("prometheus"); err != nil {
		t.Skip("needs Debian's package prometheus")
	}
	d, address := endpoint(t, daemon.Options{})
	p := metrics.StartPrometheus(t, address)
	pod := d.RunPod(t)
	half := pod.RunWith(t, named("half", &runtimeapi.LinuxContainerResources{CpuPeriod: 20000, CpuQuota: 10000}, "sh", "-c", "while :; do :; done")...)
	pod.RunWith(t, named("held", nil, "memhog", "-mb", "64")...)
	killed := pod.RunWith(t, named("killed", &runtimeapi.LinuxContainerResources{MemoryLimitInBytes: 32 << 20}, "memhog")...)
	killed.WaitExited(t)
	const sent = 8 << 20
	sender := send(t, d, sent)

	expectHalf(t, p, half)
	p.Expect(t, `increase(container_cpu_cfs_throttled_periods_total{container="half"}[10s])`, 1, 1e6)
	p.Expect(t, `increase(container_cpu_cfs_throttled_seconds_total{container="half"}[10s])`, .01, 1e6)
	p.Expect(t, `container_spec_cpu_quota{container="half"} / container_spec_cpu_period{container="half"}`, 0.5, 0.5)
	p.Expect(t, `container_memory_rss{container="held"}`, 64<<20, 80<<20)
	p.Expect(t, `container_memory_working_set_bytes{container="held"}`, 64<<20, 80<<20)
	p.Expect(t, `container_spec_memory_limit_bytes{container="half"}`, 0, 0)
	p.Expect(t, `container_oom_events_total{container="killed"}`, 1, 10)
	p.Expect(t, `container_oom_events_total{container="",pod="`+pod.Config.Metadata.Name+`"}`, 1, 10)
	p.Expect(t, `berth_container_exits_total{reason="OOMKilled"}`, 1, 1)
	p.Expect(t, `berth_containers{state="running"}`, 3, 3)
	// Headers of TCP, IP and Ethernet, and some questions about addresses, come on top.
	p.Expect(t, `container_network_transmit_bytes_total{pod="`+sender.Config.Metadata.Name+`",interface="eth0"}`, sent, sent*1.05)
	p.Expect(t, `berth_cri_requests_total{rpc="RunPodSandbox",handler="runc",code="OK"}`, 2, 2)

	series := `container_last_seen{pod="` + sender.Config.Metadata.Name + `"}`
	p.Expect(t, "count("+series+")", 2, 2) // the pod and its container
	sender.Remove(t)
	p.ExpectNone(t, series)
}

// expectHalf checks the CPU use of a container with a quota of half a core against what /proc says
// of its process in the same ten seconds: where others keep the machine busy, it gets less.
func expectHalf(t *testing.T, p *metrics.Prometheus, c *daemon.Container) {
	t.Helper()
	used := func() float64 {
		fields := strings.Fields(c.Output(t, "cat /proc/1/stat"))
		user, _ := strconv.ParseFloat(fields[13], 64)
		system, _ := strconv.ParseFloat(fields[14], 64)
		return (user + system) / 100
	}
	var rate, truth float64
	for range 3 {
		start, before := time.Now(), used()
		time.Sleep(10 * time.Second)
		truth = (used() - before) / time.Since(start).Seconds()
		rate, _ = p.Query(`rate(container_cpu_usage_seconds_total{container="half"}[10s])`)
		if rate > truth-.07 && rate < truth+.07 && rate < .56 && rate > .02 {
			t.Logf("Prometheus says %.3f of a core, /proc %.3f", rate, truth)
			return
		}
	}
	t.Errorf("Prometheus says %.3f of a core, /proc %.3f; the limit is half of one", rate, truth)
}

// send runs a pod that sends so many bytes to this process and then waits.
func send(t *testing.T, d *daemon.Daemon, size int64) *daemon.Pod {
	t.Helper()
	l, err := net.Listen("tcp4", ":0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	pod := d.RunPod(t)
	got := make(chan int64, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		n, _ := io.Copy(io.Discard, conn)
		got <- n
	}()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	pod.RunWith(t, named("sender", nil, "sh", "-c", fmt.Sprintf(
		`head -c %d /dev/zero | nc "$(ip -4 route | awk '/default/ {print $3}')" %s; sleep 1000`, size, port))...)
	select {
	case n := <-got:
		if n != size {
			t.Fatalf("%d bytes came of %d", n, size)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("nothing was sent")
	}
	return pod
}

// What is exposed passes promtool's checks, and is what CRI says.
func TestPromtool(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("needs promtool of Debian's package prometheus")
	}
	d, address := endpoint(t, daemon.Options{})
	pod := d.RunPod(t)
	pod.Run(t)
	cmd := exec.Command(promtool, "check", "metrics")
	cmd.Stdin = strings.NewReader(get(t, "http://"+address+"/metrics", ""))
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}

// Rules and alerts do what their tests say.
func TestRules(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("needs promtool of Debian's package prometheus")
	}
	for _, args := range [][]string{
		{"check", "config", "--syntax-only", "prometheus.yml"},
		{"check", "rules", "berth-rules.yml", "berth-alerts.yml"},
		{"test", "rules", "berth-tests.yml"},
	} {
		cmd := exec.Command(promtool, args...)
		cmd.Dir = "../../deploy/prometheus"
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}
