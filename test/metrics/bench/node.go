package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/bench/acct"
	"github.com/berth-run/berth/test/bench/content"
	"github.com/berth-run/berth/test/bench/side"
)

// node is a runtime with pods.
type node struct {
	*side.Side
	metrics string // URL of /metrics, "" without one that has containers
	conns   []*grpc.ClientConn
	http    []*http.Client
	pods    []*runtimeapi.PodSandboxConfig
	awake   time.Duration // how often containers do something, 0 for never
}

var metricsLine = regexp.MustCompile(`(?m)^  metrics +(http\S+)`)

// connect makes a connection for each client.
func (n *node) connect(clients int) error {
	if m := metricsLine.FindStringSubmatch(n.LogTail(1 << 20)); m != nil {
		n.metrics = m[1]
	}
	for range clients {
		conn, err := grpc.NewClient("unix://"+n.Socket, grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20), grpc.ForceCodecV2(raw{})))
		if err != nil {
			return err
		}
		n.conns = append(n.conns, conn)
		n.http = append(n.http, &http.Client{Transport: &http.Transport{DisableCompression: true}})
	}
	return nil
}

func (n *node) close() {
	for i := range n.conns {
		n.conns[i].Close()
		n.http[i].CloseIdleConnections()
	}
}

// start runs pods of two containers that wait.
func (n *node) start(ctx context.Context, count int) error {
	var g errgroup.Group
	g.SetLimit(6)
	for range count {
		config := n.config(len(n.pods))
		n.pods = append(n.pods, config)
		g.Go(func() error { return n.run(ctx, config) })
	}
	return g.Wait()
}

// ownProcesses is what the kubelet asks for: each container sees its own processes.
var ownProcesses = &runtimeapi.NamespaceOption{Pid: runtimeapi.NamespaceMode_CONTAINER}

func (n *node) config(number int) *runtimeapi.PodSandboxConfig {
	name := fmt.Sprintf("pod-%d", number)
	return &runtimeapi.PodSandboxConfig{
		Metadata:     &runtimeapi.PodSandboxMetadata{Name: name, Namespace: "bench", Uid: "uid-" + name},
		Hostname:     name,
		LogDirectory: filepath.Join(n.LogDir(), name),
		Labels:       map[string]string{side.Label: "pod"},
		Linux: &runtimeapi.LinuxPodSandboxConfig{
			CgroupParent:    n.Group.Pods() + "/" + name,
			SecurityContext: &runtimeapi.LinuxSandboxSecurityContext{NamespaceOptions: ownProcesses},
		},
	}
}

func (n *node) run(ctx context.Context, config *runtimeapi.PodSandboxConfig) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if err := os.MkdirAll(config.LogDirectory, 0o755); err != nil {
		return err
	}
	if err := acct.MakePod(config.Linux.CgroupParent); err != nil {
		return err
	}
	made, err := n.Runtime.RunPodSandbox(ctx, &runtimeapi.RunPodSandboxRequest{Config: config})
	if err != nil {
		return err
	}
	for _, name := range []string{"one", "two"} {
		created, err := n.Runtime.CreateContainer(ctx, &runtimeapi.CreateContainerRequest{
			PodSandboxId: made.PodSandboxId, SandboxConfig: config,
			Config: &runtimeapi.ContainerConfig{
				Metadata: &runtimeapi.ContainerMetadata{Name: name},
				Image:    &runtimeapi.ImageSpec{Image: content.Workload},
				Command:  n.command(),
				LogPath:  name + ".log",
				Linux: &runtimeapi.LinuxContainerConfig{
					Resources: &runtimeapi.LinuxContainerResources{
						CpuPeriod: 100000, CpuQuota: 50000, CpuShares: 102, MemoryLimitInBytes: 64 << 20,
					},
					SecurityContext: &runtimeapi.LinuxContainerSecurityContext{
						NamespaceOptions: ownProcesses,
						Seccomp:          &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_RuntimeDefault},
					},
				},
			},
		})
		if err != nil {
			return err
		}
		if _, err := n.Runtime.StartContainer(ctx, &runtimeapi.StartContainerRequest{ContainerId: created.ContainerId}); err != nil {
			return err
		}
	}
	return nil
}

// command is what containers run, none for what the image has: it waits.
func (n *node) command() []string {
	if n.awake == 0 {
		return nil
	}
	return []string{content.Program, "wake", n.awake.String()}
}

// remove takes all pods away.
func (n *node) remove(ctx context.Context) error {
	err := n.RemovePods(ctx)
	for _, p := range n.pods {
		err = errors.Join(err, acct.RemovePod(p.Linux.CgroupParent))
	}
	return err
}

// memory is what the daemon has for itself, in bytes.
func (n *node) memory() int64 { return acct.UseOf(n.DaemonPIDs()).RSS }

// cpu is the time that the daemon has used.
func (n *node) cpu() time.Duration {
	var sum time.Duration
	for _, pid := range n.DaemonPIDs() {
		text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		if fields := strings.Fields(rest); len(fields) > 12 {
			for _, field := range fields[11:13] { // utime and stime
				ticks, _ := strconv.ParseInt(field, 10, 64)
				sum += time.Duration(ticks) * 10 * time.Millisecond
			}
		}
	}
	return sum
}

// profile writes the daemon's heap profile into a file.
func (n *node) profile(ctx context.Context, file string) error {
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", n.Debug)
	}}}
	defer client.CloseIdleConnections()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://berthd/debug/pprof/heap", nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, resp.Body)
	return errors.Join(err, out.Close())
}

// goMemory tells what the daemon's memory consists of, where it says so itself.
func (n *node) goMemory(ctx context.Context, c *column) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, n.metrics, nil)
	if err != nil {
		return
	}
	resp, err := n.http[0].Do(r)
	if err != nil {
		return
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	for _, name := range []string{"alloc_bytes", "heap_inuse_bytes", "heap_idle_bytes", "heap_released_bytes", "stack_inuse_bytes", "sys_bytes"} {
		if m := regexp.MustCompile(`(?m)^go_memstats_` + name + ` (\S+)`).FindSubmatch(text); m != nil {
			v, _ := strconv.ParseFloat(string(m[1]), 64)
			c.set("  "+name, fmt.Sprintf("%.1f MiB", v/(1<<20)))
		}
	}
	if m := regexp.MustCompile(`(?m)^go_goroutines (\S+)`).FindSubmatch(text); m != nil {
		c.set("  goroutines", string(m[1]))
	}
}
