// Package pod runs pods of the kubelet's kind over the CRI and times the calls.
package pod

import (
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/bench/side"
)

// Spec says what differs between pods.
type Spec struct {
	HostNetwork bool
	// Command of the container; without one it is the image's, which waits for SIGTERM.
	Command []string
}

// number makes the names of pods differ.
var number atomic.Int64

// files are what the kubelet makes for a pod beside the runtime's own.
type files struct {
	logs, etcHosts, termination string
}

func makeFiles(s *side.Side, name string) (files, error) {
	dir := filepath.Join(s.Dir, "kubelet", name)
	f := files{
		logs:     filepath.Join(s.LogDir(), name),
		etcHosts: filepath.Join(dir, "etc-hosts"), termination: filepath.Join(dir, "termination-log"),
	}
	if err := os.MkdirAll(f.logs, 0o755); err != nil {
		return f, err
	}
	// The kubelet makes the directory of the container's log.
	if err := os.Mkdir(filepath.Join(f.logs, "main"), 0o755); err != nil {
		return f, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return f, err
	}
	if err := os.WriteFile(f.etcHosts, []byte("127.0.0.1\tlocalhost\n"), 0o644); err != nil {
		return f, err
	}
	return f, os.WriteFile(f.termination, nil, 0o666)
}

func (f files) remove() {
	_ = os.RemoveAll(f.logs)
	_ = os.RemoveAll(filepath.Dir(f.etcHosts))
}

// sandboxConfig is what the kubelet asks for: a PID namespace per container, a cgroup
// that it has made, the runtime's seccomp profile, a log directory, and DNS.
func sandboxConfig(s *side.Side, name string, spec Spec, f files) *runtimeapi.PodSandboxConfig {
	uid := fmt.Sprintf("00000000-0000-4000-8000-%012d", number.Load())
	config := &runtimeapi.PodSandboxConfig{
		Metadata:     &runtimeapi.PodSandboxMetadata{Name: name, Namespace: "bench", Uid: uid},
		LogDirectory: f.logs,
		DnsConfig: &runtimeapi.DNSConfig{
			Servers: []string{"10.96.0.10"}, Options: []string{"ndots:5"},
			Searches: []string{"bench.svc.cluster.local", "svc.cluster.local", "cluster.local"},
		},
		Labels: map[string]string{
			side.Label: "pod", "app": "bench",
			"io.kubernetes.pod.name": name, "io.kubernetes.pod.namespace": "bench", "io.kubernetes.pod.uid": uid,
		},
		Annotations: map[string]string{
			"kubernetes.io/config.seen": "2026-01-01T00:00:00.000000000Z", "kubernetes.io/config.source": "api",
		},
		Linux: &runtimeapi.LinuxPodSandboxConfig{
			CgroupParent: s.Group.Pods() + "/" + name,
			SecurityContext: &runtimeapi.LinuxSandboxSecurityContext{
				NamespaceOptions: namespaces(spec), Seccomp: runtimeDefault(),
			},
			Overhead:  &runtimeapi.LinuxContainerResources{},
			Resources: &runtimeapi.LinuxContainerResources{CpuPeriod: 100000, CpuShares: 2},
		},
	}
	if !spec.HostNetwork {
		config.Hostname = name
	}
	return config
}

func namespaces(spec Spec) *runtimeapi.NamespaceOption {
	options := &runtimeapi.NamespaceOption{Pid: runtimeapi.NamespaceMode_CONTAINER}
	if spec.HostNetwork {
		options.Network = runtimeapi.NamespaceMode_NODE
	}
	return options
}

func runtimeDefault() *runtimeapi.SecurityProfile {
	return &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_RuntimeDefault}
}

func containerConfig(spec Spec, f files, image string, sandbox *runtimeapi.PodSandboxConfig) *runtimeapi.ContainerConfig {
	var env []*runtimeapi.KeyValue
	for _, key := range []string{
		"KUBERNETES_SERVICE_HOST=10.96.0.1", "KUBERNETES_SERVICE_PORT=443", "KUBERNETES_SERVICE_PORT_HTTPS=443",
		"KUBERNETES_PORT=tcp://10.96.0.1:443", "KUBERNETES_PORT_443_TCP_PROTO=tcp",
	} {
		name, value := cut(key)
		env = append(env, &runtimeapi.KeyValue{Key: name, Value: []byte(value)})
	}
	meta := sandbox.GetMetadata()
	return &runtimeapi.ContainerConfig{
		Metadata: &runtimeapi.ContainerMetadata{Name: "main"},
		Image:    &runtimeapi.ImageSpec{Image: image, UserSpecifiedImage: image},
		Command:  spec.Command,
		Envs:     env,
		Mounts: []*runtimeapi.Mount{
			{HostPath: f.etcHosts, ContainerPath: "/etc/hosts"},
			{HostPath: f.termination, ContainerPath: "/dev/termination-log"},
		},
		LogPath: "main/0.log",
		Labels: map[string]string{
			side.Label: "container", "io.kubernetes.container.name": "main", "io.kubernetes.pod.name": meta.GetName(),
			"io.kubernetes.pod.namespace": meta.GetNamespace(), "io.kubernetes.pod.uid": meta.GetUid(),
		},
		Annotations: map[string]string{
			"io.kubernetes.container.restartCount":           "0",
			"io.kubernetes.container.terminationMessagePath": "/dev/termination-log",
			"io.kubernetes.pod.terminationGracePeriod":       "30",
		},
		Linux: &runtimeapi.LinuxContainerConfig{
			Resources: &runtimeapi.LinuxContainerResources{CpuPeriod: 100000, CpuShares: 2, OomScoreAdj: 1000},
			SecurityContext: &runtimeapi.LinuxContainerSecurityContext{
				NamespaceOptions: namespaces(spec), Seccomp: runtimeDefault(),
				MaskedPaths:   maskedPaths(),
				ReadonlyPaths: []string{"/proc/asound", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
			},
		},
	}
}

// maskedPaths are those of Kubernetes.
func maskedPaths() []string {
	return []string{
		"/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
		"/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap",
	}
}
