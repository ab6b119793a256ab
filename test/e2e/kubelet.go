package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// nodeName is the kubelet's; static pods get it as a suffix of their names.
const nodeName = "berth-e2e"

// Kubelet is a running kubelet.
type Kubelet struct {
	*Client
	// Manifests is the directory of static pods.
	Manifests string
	// LogDir is the root of the pods' log directories.
	LogDir string
	// CgroupRoot is the cgroup below which all pods are, for example "/berth-e2e-1".
	CgroupRoot string

	dir    string
	cmd    *exec.Cmd
	exited chan struct{}
}

// StartKubelet starts binary, a kubelet, on the runtime with the given CRI socket.
// What it keeps is below a new directory; the few things that it puts elsewhere are
// restored when the test is over.
func StartKubelet(t *testing.T, binary, socket string) *Kubelet {
	t.Helper()
	host, err := prepareHost()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := host.restore(); err != nil {
			t.Error(err)
		}
	})
	dir, err := os.MkdirTemp("", "berth-kubelet-")
	if err != nil {
		t.Fatal(err)
	}
	k := &Kubelet{
		Manifests: filepath.Join(dir, "manifests"), LogDir: filepath.Join(dir, "logs"),
		CgroupRoot: host.cgroup, dir: dir, exited: make(chan struct{}),
	}
	t.Cleanup(func() { k.removeDir(t) })
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	k.Client = newClient(port)
	if err := k.start(binary, socket, port); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.stop(t) })
	return k
}

func (k *Kubelet) start(binary, socket string, port int) error {
	for _, sub := range []string{k.Manifests, k.LogDir} {
		if err := os.MkdirAll(sub, 0o755); err != nil {
			return err
		}
	}
	config, err := json.MarshalIndent(k.config(socket, port), "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(k.dir, "config.json")
	if err := os.WriteFile(path, config, 0o644); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(k.dir, "kubelet.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	k.cmd = exec.Command(binary, "--config", path, "--hostname-override", nodeName, "--v", "2",
		"--root-dir", filepath.Join(k.dir, "root"), "--cert-dir", filepath.Join(k.dir, "pki"))
	k.cmd.Stdout, k.cmd.Stderr = log, log
	if err := k.cmd.Start(); err != nil {
		return fmt.Errorf("starting the kubelet: %w", err)
	}
	go func() {
		_ = k.cmd.Wait()
		close(k.exited)
	}()
	return nil
}

// config is the KubeletConfiguration. The kubelet has no API server, touches no
// iptables chains and evicts nothing; everything else is as on a node.
func (k *Kubelet) config(socket string, port int) map[string]any {
	return map[string]any{
		"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
		"containerRuntimeEndpoint": "unix://" + socket,
		"staticPodPath":            k.Manifests, "podLogsDir": k.LogDir,
		"fileCheckFrequency": "1s", "syncFrequency": "5s",
		"address": "127.0.0.1", "port": port, "readOnlyPort": 0, "healthzPort": 0,
		"authentication": map[string]any{
			"anonymous": map[string]any{"enabled": true}, "webhook": map[string]any{"enabled": false},
		},
		"authorization":          map[string]any{"mode": "AlwaysAllow"},
		"featureGates":           map[string]bool{"PodAndContainerStatsFromCRI": true},
		"failCgroupV1":           false,
		"failSwapOn":             false,
		"cgroupRoot":             k.CgroupRoot,
		"oomScoreAdj":            0,
		"registerNode":           false,
		"volumePluginDir":        filepath.Join(k.dir, "volume-plugins"),
		"makeIPTablesUtilChains": false, "enableControllerAttachDetach": false,
		"imageGCHighThresholdPercent": 100,
		"evictionHard": map[string]string{
			"memory.available": "0%", "nodefs.available": "0%", "nodefs.inodesFree": "0%",
			"imagefs.available": "0%", "imagefs.inodesFree": "0%",
		},
	}
}

// stop ends the kubelet; its pods go on.
func (k *Kubelet) stop(t *testing.T) {
	_ = k.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-k.exited:
	case <-time.After(20 * time.Second):
		t.Error("the kubelet did not end within 20 s of SIGTERM")
		_ = k.cmd.Process.Kill()
		<-k.exited
	}
	if t.Failed() {
		t.Logf("the kubelet's log ends with\n%s", k.logTail(16<<10))
	}
}

func (k *Kubelet) logTail(bytes int) string {
	log, _ := os.ReadFile(filepath.Join(k.dir, "kubelet.log"))
	return string(log[max(0, len(log)-bytes):])
}

// removeDir takes away the kubelet's directory, in which it mounts volumes, and whose
// root directory it has bind-mounted to itself.
func (k *Kubelet) removeDir(t *testing.T) {
	for {
		mounts, err := mountsBelow(k.dir)
		if err != nil {
			t.Error(err)
			return
		}
		if len(mounts) == 0 {
			break
		}
		if err := syscall.Unmount(mounts[len(mounts)-1], syscall.MNT_DETACH); err != nil {
			t.Errorf("unmounting %s: %v", mounts[len(mounts)-1], err)
			return
		}
	}
	if err := os.RemoveAll(k.dir); err != nil {
		t.Error(err)
	}
}

// Running returns an error when the kubelet has ended.
func (k *Kubelet) Running() error {
	select {
	case <-k.exited:
		return errors.New("the kubelet ended: " + k.cmd.ProcessState.String())
	default:
		return nil
	}
}

// AddPod writes a static pod's manifest and returns the function that removes it.
func (k *Kubelet) AddPod(t *testing.T, name, manifest string) (remove func()) {
	t.Helper()
	path := filepath.Join(k.Manifests, name+".yaml")
	// Not written in place: the kubelet must not see half of it.
	if err := os.WriteFile(filepath.Join(k.dir, "new.yaml"), []byte(manifest), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(k.dir, "new.yaml"), path); err != nil {
		t.Fatal(err)
	}
	return func() { _ = os.Remove(path) }
}

func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}
