package integration

import (
	"path/filepath"
	"strings"
	"testing"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
)

// shape is a kind of pod that clusters run, reduced to what it asks of a node: its namespaces, its host
// paths and its rights. Host paths without a leading slash lie in the test's own directory, where nothing
// exists yet: on a node they are /var/lib/calico and the like.
type shape struct {
	name        string
	hostNetwork bool
	hostPID     bool
	privileged  bool
	selinux     *runtimeapi.SELinuxOption
	add, drop   []string
	mounts      []*runtimeapi.Mount
	user        int64
	// prints is what script prints in the container.
	script, prints string
}

var shapes = []shape{
	{name: "network agent with routes and BPF", hostNetwork: true, privileged: true,
		mounts: []*runtimeapi.Mount{
			{HostPath: "/usr", ContainerPath: "/lib/modules", Readonly: true}, {HostPath: "run/agent", ContainerPath: "/var/run/agent"},
			{HostPath: "lib/agent", ContainerPath: "/var/lib/agent"}, {HostPath: "run/xtables.lock", ContainerPath: "/run/xtables.lock"},
			{HostPath: "cni/bin", ContainerPath: "/host/opt/cni/bin"}, {HostPath: "cni/net.d", ContainerPath: "/host/etc/cni/net.d"},
			{HostPath: "/sys/fs", ContainerPath: "/sys/fs"}, {HostPath: "run/nodeagent", ContainerPath: "/var/run/nodeagent"},
		}, script: "touch /host/opt/cni/bin/plugin && ls /host/opt/cni/bin", prints: "plugin"},
	{name: "overlay daemon with two capabilities", hostNetwork: true, add: []string{"NET_ADMIN", "NET_RAW"},
		mounts: []*runtimeapi.Mount{{HostPath: "run/flannel", ContainerPath: "/run/flannel"}, {HostPath: "run/xtables.lock", ContainerPath: "/run/xtables.lock"}},
		script: "touch /run/flannel/subnet.env && echo written", prints: "written"},
	{name: "eBPF datapath", hostNetwork: true, selinux: &runtimeapi.SELinuxOption{Level: "s0", Type: "spc_t"},
		add:  []string{"CHOWN", "KILL", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "SYS_MODULE", "SYS_ADMIN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"},
		drop: []string{"ALL"},
		mounts: []*runtimeapi.Mount{
			{HostPath: "run/datapath", ContainerPath: "/var/run/datapath"}, {HostPath: "hostproc/sys/net", ContainerPath: "/host/proc/sys/net"},
			{HostPath: "run/netns", ContainerPath: "/var/run/netns"}, {HostPath: "cni/bin", ContainerPath: "/host/opt/cni/bin"},
			{HostPath: "/usr", ContainerPath: "/lib/modules", Readonly: true},
		}, script: "grep -c . /proc/self/status >/dev/null && echo runs", prints: "runs"},
	{name: "chained CNI installer", drop: []string{"ALL"}, selinux: &runtimeapi.SELinuxOption{Type: "spc_t"},
		mounts: []*runtimeapi.Mount{
			{HostPath: "opt/cni/bin", ContainerPath: "/host/opt/cni/bin"}, {HostPath: "etc/cni/net.d", ContainerPath: "/host/etc/cni/net.d"},
			{HostPath: "run/mesh-cni", ContainerPath: "/var/run/mesh-cni"},
		}, script: "cp /bin/busybox /host/opt/cni/bin/mesh && test -x /host/opt/cni/bin/mesh && echo installed", prints: "installed"},
	{name: "monitoring agent with sockets of runtimes that are not there", hostPID: true, add: []string{"SYS_PTRACE", "SYSLOG"},
		mounts: []*runtimeapi.Mount{
			{HostPath: "run/docker.sock", ContainerPath: "/host/var/run/docker.sock", Readonly: true}, {HostPath: "/proc", ContainerPath: "/host/proc", Readonly: true},
			{HostPath: "/sys/fs/cgroup", ContainerPath: "/host/sys/fs/cgroup", Readonly: true}, {HostPath: "log/pods", ContainerPath: "/var/log/pods", Readonly: true},
			{HostPath: "lib/monitor", ContainerPath: "/opt/monitor/run", SelinuxRelabel: true}, {HostPath: "/etc/passwd", ContainerPath: "/etc/passwd", Readonly: true},
		}, script: "test -d /host/var/run/docker.sock && test -e /host/proc/1/status && echo sees", prints: "sees"},
	{name: "syscall watcher without privileges on an older kernel", add: []string{"BPF", "PERFMON", "SYS_PTRACE", "CAP_NOT_YET_INVENTED"}, drop: []string{"all"},
		mounts: []*runtimeapi.Mount{
			{HostPath: "run/containerd.sock", ContainerPath: "/host/run/containerd.sock"}, {HostPath: "/etc", ContainerPath: "/host/etc", Readonly: true},
			{HostPath: "usr/src", ContainerPath: "/host/usr/src", Readonly: true},
		}, script: "grep CapEff /proc/self/status | wc -l", prints: "1"},
	{name: "device operator", hostPID: true, privileged: true, selinux: &runtimeapi.SELinuxOption{Level: "s0"},
		mounts: []*runtimeapi.Mount{
			{HostPath: "/", ContainerPath: "/host", Readonly: true}, {HostPath: "run/driver", ContainerPath: "/run/driver"},
			{HostPath: "run/validations", ContainerPath: "/run/validations"}, {HostPath: "/sys", ContainerPath: "/host-sys"},
			{HostPath: "lib/device-plugins", ContainerPath: "/var/lib/kubelet/device-plugins"}, {HostPath: "/dev", ContainerPath: "/host-dev"},
		}, script: "test -d /host/proc && touch /run/validations/ready && echo ready", prints: "ready"},
	{name: "log shipper", drop: []string{"*"},
		mounts: []*runtimeapi.Mount{
			{HostPath: "log", ContainerPath: "/var/log", Readonly: true}, {HostPath: "lib/docker/containers", ContainerPath: "/var/lib/docker/containers", Readonly: true},
			{HostPath: "lib/positions", ContainerPath: "/run/positions"}, {HostPath: "/etc/passwd", ContainerPath: "/etc/machine-id", Readonly: true},
		}, script: "echo 1 > /run/positions/offset && cat /run/positions/offset", prints: "1"},
	{name: "storage node plugin", hostNetwork: true, privileged: true, add: []string{"SYS_ADMIN"},
		mounts: []*runtimeapi.Mount{
			{HostPath: "kubelet/plugins/csi.test", ContainerPath: "/csi"}, {HostPath: "kubelet/pods", ContainerPath: "/var/lib/kubelet/pods"},
			{HostPath: "/dev", ContainerPath: "/dev"}, {HostPath: "etc/iscsi", ContainerPath: "/etc/iscsi"},
		}, script: "mkdir /tmp-m && mount -t tmpfs none /tmp-m && echo mounted", prints: "mounted"},
	{name: "restricted application", user: 1000, drop: []string{"ALL"}, selinux: &runtimeapi.SELinuxOption{Level: "s0:c123,c456"},
		mounts: []*runtimeapi.Mount{{HostPath: "volumes/empty-dir/cache", ContainerPath: "cache"}},
		script: "id -u; ls -d /cache", prints: "1000\n/cache"},
}

// TestShapes runs each kind of pod as a kubelet asks for it.
func TestShapes(t *testing.T) {
	embedded(t, func(t *testing.T, d *daemon.Daemon) {
		for _, s := range shapes {
			t.Run(s.name, func(t *testing.T) {
				root := t.TempDir()
				pod := d.RunPod(t, daemon.WithPod(s.pod))
				c := pod.RunWith(t, func(c *runtimeapi.ContainerConfig) { s.container(c, root) })
				if got := strings.TrimSpace(c.Output(t, s.script)); got != s.prints {
					t.Errorf("%s prints %q, want %q", s.script, got, s.prints)
				}
			})
		}
	})
}

func (s shape) pod(c *runtimeapi.PodSandboxConfig) {
	sc := c.Linux.SecurityContext
	sc.Privileged, sc.SelinuxOptions = s.privileged, s.selinux
	if s.hostNetwork {
		sc.NamespaceOptions.Network = runtimeapi.NamespaceMode_NODE
	}
	if s.hostPID {
		sc.NamespaceOptions.Pid = runtimeapi.NamespaceMode_NODE
	}
}

func (s shape) container(c *runtimeapi.ContainerConfig, root string) {
	sc := c.Linux.SecurityContext
	sc.Privileged, sc.SelinuxOptions = s.privileged, s.selinux
	sc.Capabilities = &runtimeapi.Capability{AddCapabilities: s.add, DropCapabilities: s.drop}
	if s.user != 0 {
		sc.RunAsUser = &runtimeapi.Int64Value{Value: s.user}
	}
	for _, m := range s.mounts {
		source := m.HostPath
		if !filepath.IsAbs(source) {
			source = filepath.Join(root, source)
		}
		c.Mounts = append(c.Mounts, &runtimeapi.Mount{
			HostPath: source, ContainerPath: m.ContainerPath, Readonly: m.Readonly, SelinuxRelabel: m.SelinuxRelabel,
		})
	}
}
