package metrics

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"go.uber.org/goleak"
)

// scrape starts a server, gets a path and stops it.
func scrape(t *testing.T, m *Metrics, opts ServerOptions, path string) (int, string) {
	t.Helper()
	srv, err := NewServer(m, opts)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve() }()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, srv.Addr().Network(), srv.Addr().String())
	}}
	resp, err := (&http.Client{Transport: transport}).Get("http://berth" + path)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	return resp.StatusCode, string(body)
}

func TestExposition(t *testing.T) {
	defer goleak.VerifyNone(t)
	h := v2Host(t)
	pod := testPod("p1", "/kubepods/p1")
	pod.NetnsPath = "/somewhere"
	src := &listSource{pods: []PodRef{pod}, ctrs: []ContainerRef{testContainer("c1", "p1", "/kubepods/p1/c1")}}
	s := NewSampler(h, src, Options{Network: fixedNetwork})
	m := New(Build{Version: "1.2", Containerd: "2.4.2"})
	if err := m.RegisterSource(src); err != nil {
		t.Fatal(err)
	}
	if err := m.RegisterSampler(s); err != nil {
		t.Fatal(err)
	}
	m.Stages.Observe(context.Background(), "RunPodSandbox", "cni", 3*time.Millisecond, nil)
	m.CNI.Plugin("bridge", "ADD", time.Millisecond, errors.New("x"))
	m.Images.Fetched("r", 1000)
	call := func(err error) {
		_, _ = m.RPC.Unary()(context.Background(), nil, &grpc.UnaryServerInfo{FullMethod: "/runtime.v1.RuntimeService/Status"},
			func(context.Context, any) (any, error) { return nil, err })
	}
	call(nil)
	call(status.Error(codes.NotFound, "gone"))

	code, body := scrape(t, m, ServerOptions{Address: "127.0.0.1:0"}, "/metrics")
	if code != http.StatusOK {
		t.Fatal(code, body)
	}
	const labels = `{container="ctr-c1",id="/kubepods/p1/c1",image="img",name="c1",namespace="default",pod="pod-p1"} `
	for _, want := range []string{
		`berth_build_info{cgroup_driver="",cgroup_mode="",containerd="2.4.2",cri="",goversion="",revision="",version="1.2"} 1`,
		`berth_pods{state="ready"} 1`, `berth_pods{state="notready"} 0`,
		`berth_containers{state="running"} 1`, `berth_containers{state="exited"} 0`,
		`berth_cri_requests_total{code="OK",handler="",rpc="Status"} 1`,
		`berth_cri_requests_total{code="NotFound",handler="",rpc="Status"} 1`,
		`berth_cri_requests_in_flight{rpc="Status"} 0`,
		`berth_cri_request_duration_seconds_count{handler="",rpc="Status"} 2`,
		`berth_stage_duration_seconds_count{operation="RunPodSandbox",stage="cni"} 1`,
		`berth_cni_plugin_calls_total{plugin="bridge",result="error",verb="ADD"} 1`,
		`berth_image_pull_bytes_total{host="r"} 1000`,
		`container_cpu_usage_seconds_total{container="ctr-c1",id="/kubepods/p1/c1",image="img",name="c1",namespace="default",pod="pod-p1",cpu="total"} 7.210345`,
		`container_cpu_usage_seconds_total{container="",id="/kubepods/p1",image="",name="",namespace="default",pod="pod-p1",cpu="total"} 7.210345`,
		"container_memory_working_set_bytes" + labels + "79691776",
		"container_oom_events_total" + labels + "1",
		`container_network_transmit_bytes_total{container="",id="/kubepods/p1",image="",name="",namespace="default",pod="pod-p1",interface="eth0"} 20`,
		"container_pressure_cpu_waiting_seconds_total" + labels + "5.123456",
		"go_goroutines ", "process_open_fds ", "berth_sample_duration_seconds ",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("missing: %s", want)
		}
	}
	if strings.Contains(body, `interface="lo"`) {
		t.Error("loopback is shown")
	}
	// What is gone is gone from the exposition, at once.
	src.set(nil, nil)
	if _, body := scrape(t, m, ServerOptions{Address: "127.0.0.1:0"}, "/metrics"); strings.Contains(body, "\ncontainer_") {
		t.Error("series of a pod that is gone")
	}
}

// CRI's metrics and the exposition come from the same sample and agree.
func TestCRIMetrics(t *testing.T) {
	h := v2Host(t)
	src := &listSource{pods: []PodRef{testPod("p1", "/kubepods/p1")}, ctrs: []ContainerRef{testContainer("c1", "p1", "/kubepods/p1/c1")}}
	s := NewSampler(h, src, Options{})
	keys := map[string]int{}
	for _, d := range s.MetricDescriptors() {
		if _, ok := keys[d.Name]; ok || d.Help == "" {
			t.Errorf("descriptor %s: twice or without help", d.Name)
		}
		keys[d.Name] = len(d.LabelKeys)
	}
	pods := criPods(t, s)
	if len(pods) != 1 || pods[0].PodSandboxId != "p1" || len(pods[0].ContainerMetrics) != 1 || pods[0].ContainerMetrics[0].ContainerId != "c1" {
		t.Fatalf("got %v", pods)
	}
	found := false
	for _, m := range pods[0].ContainerMetrics[0].Metrics {
		if n, ok := keys[m.Name]; !ok || n != len(m.LabelValues) || m.Timestamp == 0 {
			t.Errorf("%s has %d label values, the descriptor %d", m.Name, len(m.LabelValues), n)
		}
		found = found || (m.Name == "container_memory_rss" && m.Value.Value == 52428800)
	}
	if !found {
		t.Error("no container_memory_rss")
	}
}

func TestHealth(t *testing.T) {
	opts := ServerOptions{
		Address: "unix://" + filepath.Join(t.TempDir(), "m.sock"),
		Live:    []Check{{"alive", func() error { return nil }}},
		Ready:   []Check{{"runtime", func() error { return nil }}, {"network", func() error { return errors.New("no CNI configuration in /x") }}},
	}
	if code, body := scrape(t, New(Build{}), opts, "/healthz"); code != 200 || body != "[+]alive ok\nok\n" {
		t.Error(code, body)
	}
	if code, body := scrape(t, New(Build{}), opts, "/readyz"); code != 503 || body != "[+]runtime ok\n[-]network failed: no CNI configuration in /x\n" {
		t.Error(code, body)
	}
}

func TestBadAddress(t *testing.T) {
	if _, err := NewServer(New(Build{}), ServerOptions{Address: "nonsense"}); !errors.Is(err, errdefs.ErrInvalidArgument) {
		t.Error(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := NewServer(New(Build{}), ServerOptions{Address: l.Addr().String()}); !errors.Is(err, errdefs.ErrUnavailable) {
		t.Error(err)
	}
}

// Packages are used without metrics in tests.
func TestNilInstruments(t *testing.T) {
	var m Metrics
	m.Stages.Observe(context.Background(), "a", "b", 0, nil)
	m.CNI.Plugin("n", "ADD", 0, nil)
	m.CNI.Operation("ADD", 0, nil)
	m.CNI.ConfigChanged(true)
	m.Images.Pulled(Pull{})
	m.Images.PullJoined()
	m.Images.Fetched("h", 1)
	m.Images.LayerFetched(0)
	m.Images.LayerUnpacked(1, 0)
	m.Images.HostFailed("h", "network")
	m.Sessions.Begin("exec")()
	m.Shim.Begin(context.Background(), "x")(nil)
	if _, err := m.RPC.Unary()(context.Background(), nil, &grpc.UnaryServerInfo{}, func(context.Context, any) (any, error) { return nil, nil }); err != nil {
		t.Error(err)
	}
}

// criPods takes the answer apart as a client does.
func criPods(t *testing.T, s *Sampler) []*runtimeapi.PodSandboxMetrics {
	t.Helper()
	list, _ := s.PodSandboxMetrics(context.Background())
	raw, err := proto.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	var r runtimeapi.ListPodSandboxMetricsResponse
	if err := proto.Unmarshal(raw, &r); err != nil {
		t.Fatal(err)
	}
	return r.PodMetrics
}
