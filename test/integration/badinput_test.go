package integration

import (
	"context"
	"maps"
	"os"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/test/daemon"
	"github.com/berth-run/berth/test/images"
)

// badPod is a request for a pod that is refused.
type badPod struct {
	name   string
	change func(*runtimeapi.RunPodSandboxRequest)
	code   codes.Code
	parts  []string // of the message
}

func podConfig(change func(*runtimeapi.PodSandboxConfig)) func(*runtimeapi.RunPodSandboxRequest) {
	return func(r *runtimeapi.RunPodSandboxRequest) { change(r.Config) }
}

func hostPort(p *runtimeapi.PortMapping) func(*runtimeapi.RunPodSandboxRequest) {
	return podConfig(func(c *runtimeapi.PodSandboxConfig) { c.PortMappings = []*runtimeapi.PortMapping{p} })
}

func sysctl(name, value string) func(*runtimeapi.RunPodSandboxRequest) {
	return podConfig(func(c *runtimeapi.PodSandboxConfig) { c.Linux.Sysctls = map[string]string{name: value} })
}

func podNamespaces(o *runtimeapi.NamespaceOption) func(*runtimeapi.RunPodSandboxRequest) {
	return podConfig(func(c *runtimeapi.PodSandboxConfig) { c.Linux.SecurityContext.NamespaceOptions = o })
}

var badPods = []badPod{
	{"no config", func(r *runtimeapi.RunPodSandboxRequest) { r.Config = nil }, codes.InvalidArgument, []string{"config is missing"}},
	{"no metadata", podConfig(func(c *runtimeapi.PodSandboxConfig) { c.Metadata = nil }), codes.InvalidArgument, []string{"metadata"}},
	{"no name", podConfig(func(c *runtimeapi.PodSandboxConfig) { c.Metadata.Name = "" }), codes.InvalidArgument, []string{"metadata.name"}},
	{"no namespace", podConfig(func(c *runtimeapi.PodSandboxConfig) { c.Metadata.Namespace = "" }), codes.InvalidArgument, []string{"metadata.namespace"}},
	{"no uid", podConfig(func(c *runtimeapi.PodSandboxConfig) { c.Metadata.Uid = "" }), codes.InvalidArgument, []string{"metadata.uid"}},
	{"handler", func(r *runtimeapi.RunPodSandboxRequest) { r.RuntimeHandler = "kvm" }, codes.InvalidArgument, []string{`"kvm"`}},
	{"log directory", podConfig(func(c *runtimeapi.PodSandboxConfig) { c.LogDirectory = "logs" }), codes.InvalidArgument, []string{"log_directory", "logs"}},
	{"hostname", podConfig(func(c *runtimeapi.PodSandboxConfig) { c.Hostname = strings.Repeat("h", 65) }), codes.InvalidArgument, []string{"hostname"}},
	{"cgroup parent", podConfig(func(c *runtimeapi.PodSandboxConfig) { c.Linux.CgroupParent = "/a/../../b" }), codes.InvalidArgument, []string{"/a/../../b"}},
	{"sysctl of the host", sysctl("vm.swappiness", "10"), codes.InvalidArgument, []string{"vm.swappiness"}},
	{"sysctl unknown", sysctl("net.ipv4.nosuch", "1"), codes.InvalidArgument, []string{"net.ipv4.nosuch"}},
	{"sysctl value", sysctl("net.ipv4.ip_unprivileged_port_start", "many"), codes.InvalidArgument, []string{"ip_unprivileged_port_start", "many"}},
	{"host port", hostPort(&runtimeapi.PortMapping{HostPort: 70000, ContainerPort: 80}), codes.InvalidArgument, []string{"70000"}},
	{"container port", hostPort(&runtimeapi.PortMapping{HostPort: 8080, ContainerPort: -1}), codes.InvalidArgument, []string{"-1"}},
	{"host IP", hostPort(&runtimeapi.PortMapping{HostPort: 8080, ContainerPort: 80, HostIp: "1.2.3"}), codes.InvalidArgument, []string{"1.2.3"}},
	{"line break in DNS options", podConfig(func(c *runtimeapi.PodSandboxConfig) {
		c.DnsConfig = &runtimeapi.DNSConfig{Options: []string{"ndots:5\nnameserver 203.0.113.1"}}
	}), codes.InvalidArgument, []string{"dns_config.options"}},
	{"line break in a DNS search", podConfig(func(c *runtimeapi.PodSandboxConfig) {
		c.DnsConfig = &runtimeapi.DNSConfig{Searches: []string{"a\nnameserver 203.0.113.1"}}
	}), codes.InvalidArgument, []string{"dns_config.searches"}},
	{"line break in a DNS server", podConfig(func(c *runtimeapi.PodSandboxConfig) {
		c.DnsConfig = &runtimeapi.DNSConfig{Servers: []string{"10.0.0.1\roptions x"}}
	}), codes.InvalidArgument, []string{"dns_config.servers"}},
	{"line break in the hostname on the host's network", podConfig(func(c *runtimeapi.PodSandboxConfig) {
		c.Hostname = "a\n203.0.113.1 b"
		c.Linux.SecurityContext.NamespaceOptions = &runtimeapi.NamespaceOption{Network: runtimeapi.NamespaceMode_NODE}
	}), codes.InvalidArgument, []string{"hostname"}},
	{"PID of a target", podNamespaces(&runtimeapi.NamespaceOption{Pid: runtimeapi.NamespaceMode_TARGET}), codes.InvalidArgument, []string{"pid"}},
	{"user namespace without mappings", podNamespaces(&runtimeapi.NamespaceOption{
		Pid: runtimeapi.NamespaceMode_CONTAINER, UsernsOptions: &runtimeapi.UserNamespace{Mode: runtimeapi.NamespaceMode_POD},
	}), codes.InvalidArgument, []string{"userns_options"}},
}

func TestBadPods(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		before := listPods(t, d)
		for _, bad := range badPods {
			t.Run(bad.name, func(t *testing.T) {
				r := d.PodRequest(t)
				bad.change(r)
				_, err := d.Runtime.RunPodSandbox(daemon.Context(t), r)
				wantCode(t, err, bad.code, bad.parts...)
			})
		}
		if after := listPods(t, d); !maps.Equal(before, after) {
			t.Errorf("pods %v, were %v", after, before)
		}
	})
}

// badContainer is a configuration of a container that CreateContainer refuses.
type badContainer struct {
	name   string
	change func(*runtimeapi.ContainerConfig)
	code   codes.Code
	parts  []string
}

func security(change func(*runtimeapi.LinuxContainerSecurityContext)) func(*runtimeapi.ContainerConfig) {
	return func(c *runtimeapi.ContainerConfig) { change(c.Linux.SecurityContext) }
}

func logPath(path string) func(*runtimeapi.ContainerConfig) {
	return func(c *runtimeapi.ContainerConfig) { c.LogPath = path }
}

func mountOf(m *runtimeapi.Mount) func(*runtimeapi.ContainerConfig) {
	return func(c *runtimeapi.ContainerConfig) { c.Mounts = []*runtimeapi.Mount{m} }
}

func localhostSeccomp(file string) func(*runtimeapi.ContainerConfig) {
	return security(func(s *runtimeapi.LinuxContainerSecurityContext) {
		s.Seccomp = &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_Localhost, LocalhostRef: file}
	})
}

var badContainers = []badContainer{
	{"no metadata", func(c *runtimeapi.ContainerConfig) { c.Metadata = nil }, codes.InvalidArgument, []string{"metadata"}},
	{"no name", func(c *runtimeapi.ContainerConfig) { c.Metadata.Name = "" }, codes.InvalidArgument, []string{"metadata.name"}},
	{"no image", func(c *runtimeapi.ContainerConfig) { c.Image = nil }, codes.InvalidArgument, []string{"image"}},
	{"image not pulled", daemon.WithImage("berth.test/never-pulled:1"), codes.NotFound, []string{"berth.test/never-pulled:1"}},
	{"image name", daemon.WithImage("NOT an image"), codes.InvalidArgument, []string{"NOT an image"}},
	{"log path up", logPath("../escaped.log"), codes.InvalidArgument, []string{"../escaped.log"}},
	{"log path up further down", logPath("a/../../escaped.log"), codes.InvalidArgument, []string{"a/../../escaped.log"}},
	{"working directory", func(c *runtimeapi.ContainerConfig) { c.WorkingDir = "relative" }, codes.InvalidArgument, []string{"working_dir", "relative"}},
	{"environment", func(c *runtimeapi.ContainerConfig) {
		c.Envs = []*runtimeapi.KeyValue{{Key: "=B", Value: []byte("c")}}
	}, codes.InvalidArgument, []string{"=B"}},
	{"bind source that is a link to nothing", mountOf(&runtimeapi.Mount{HostPath: "/proc/self/exe/none", ContainerPath: "/x"}), codes.NotFound, []string{"/proc/self/exe"}},
	{"mount target", mountOf(&runtimeapi.Mount{HostPath: "/tmp", ContainerPath: ""}), codes.InvalidArgument, []string{"mounts[0]"}},
	{"recursive read-only without read-only", mountOf(&runtimeapi.Mount{HostPath: "/tmp", ContainerPath: "/x", RecursiveReadOnly: true}),
		codes.InvalidArgument, []string{"mounts[0]"}},
	{"device", func(c *runtimeapi.ContainerConfig) {
		c.Devices = []*runtimeapi.Device{{HostPath: "/dev/nosuch", ContainerPath: "/dev/x", Permissions: "rw"}}
	}, codes.NotFound, []string{"/dev/nosuch"}},
	{"CDI device", func(c *runtimeapi.ContainerConfig) {
		c.CDIDevices = []*runtimeapi.CDIDevice{{Name: "vendor.test/nosuch=x"}}
	}, codes.NotFound, []string{"vendor.test/nosuch=x"}},
	{"privileged, the sandbox_config not", security(func(s *runtimeapi.LinuxContainerSecurityContext) { s.Privileged = true }), codes.InvalidArgument, []string{"privileged", "sandbox_config"}},
	{"seccomp profile", localhostSeccomp("/nosuch/profile.json"), codes.NotFound, []string{"/nosuch/profile.json"}},
	{"user name", security(func(s *runtimeapi.LinuxContainerSecurityContext) { s.RunAsUsername = "nobodyhere" }), codes.NotFound, []string{"nobodyhere"}},
	{"group without user", security(func(s *runtimeapi.LinuxContainerSecurityContext) {
		s.RunAsGroup = &runtimeapi.Int64Value{Value: 7}
	}), codes.InvalidArgument, []string{"run_as_group"}},
	{"target container", security(func(s *runtimeapi.LinuxContainerSecurityContext) {
		s.NamespaceOptions = &runtimeapi.NamespaceOption{Pid: runtimeapi.NamespaceMode_TARGET, TargetId: "feedbeef"}
	}), codes.NotFound, []string{"feedbeef"}},
	{"shared PID namespace that is not there", security(func(s *runtimeapi.LinuxContainerSecurityContext) {
		s.NamespaceOptions = &runtimeapi.NamespaceOption{Pid: runtimeapi.NamespaceMode_POD}
	}), codes.FailedPrecondition, []string{"PID namespace"}},
	{"CPU shares", func(c *runtimeapi.ContainerConfig) {
		c.Linux.Resources = &runtimeapi.LinuxContainerResources{CpuShares: -5}
	}, codes.InvalidArgument, []string{"-5"}},
	{"cpuset", func(c *runtimeapi.ContainerConfig) {
		c.Linux.Resources = &runtimeapi.LinuxContainerResources{CpusetCpus: "all"}
	}, codes.InvalidArgument, []string{"all"}},
}

func TestBadContainers(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		d.Pull(t, images.UserMissing)
		pod := d.RunPod(t)
		for _, bad := range badContainers {
			t.Run(bad.name, func(t *testing.T) {
				r := pod.CreateRequest(bad.change)
				_, err := d.Runtime.CreateContainer(daemon.Context(t), r)
				wantCode(t, err, bad.code, bad.parts...)
			})
		}
		create := func(r *runtimeapi.CreateContainerRequest) error {
			_, err := d.Runtime.CreateContainer(daemon.Context(t), r)
			return err
		}
		request := pod.CreateRequest(daemon.WithImage(images.UserMissing))
		wantCode(t, create(request), codes.NotFound, "nosuchuser")
		request = pod.CreateRequest()
		request.PodSandboxId = "feedbeef"
		wantCode(t, create(request), codes.NotFound, "feedbeef")
		request = pod.CreateRequest()
		request.Config = nil
		wantCode(t, create(request), codes.InvalidArgument, "config")
		request = pod.CreateRequest()
		request.SandboxConfig = nil
		wantCode(t, create(request), codes.InvalidArgument, "sandbox_config")
		pod.Stop(t)
		wantCode(t, create(pod.CreateRequest()), codes.FailedPrecondition, pod.ID)
		if left := listContainers(t, d); len(left) > 0 {
			t.Errorf("containers left: %v", left)
		}
	})
}

// TestBadIDs calls everything that takes an ID with one that nothing has.
func TestBadIDs(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		const nobody = "feedbeef"
		ctx, rt := daemon.Context(t), d.Runtime
		calls := map[string]func(ctx context.Context, id string) error{
			"PodSandboxStatus": func(ctx context.Context, id string) error {
				_, err := rt.PodSandboxStatus(ctx, &runtimeapi.PodSandboxStatusRequest{PodSandboxId: id})
				return err
			},
			"PodSandboxStats": func(ctx context.Context, id string) error {
				_, err := rt.PodSandboxStats(ctx, &runtimeapi.PodSandboxStatsRequest{PodSandboxId: id})
				return err
			},
			"PortForward": func(ctx context.Context, id string) error {
				_, err := rt.PortForward(ctx, &runtimeapi.PortForwardRequest{PodSandboxId: id, Port: []int32{80}})
				return err
			},
			"UpdatePodSandboxResources": func(ctx context.Context, id string) error {
				_, err := rt.UpdatePodSandboxResources(ctx, &runtimeapi.UpdatePodSandboxResourcesRequest{PodSandboxId: id})
				return err
			},
			"ContainerStatus": func(ctx context.Context, id string) error {
				_, err := rt.ContainerStatus(ctx, &runtimeapi.ContainerStatusRequest{ContainerId: id})
				return err
			},
			"ContainerStats": func(ctx context.Context, id string) error {
				_, err := rt.ContainerStats(ctx, &runtimeapi.ContainerStatsRequest{ContainerId: id})
				return err
			},
			"StartContainer": func(ctx context.Context, id string) error {
				_, err := rt.StartContainer(ctx, &runtimeapi.StartContainerRequest{ContainerId: id})
				return err
			},
			"UpdateContainerResources": func(ctx context.Context, id string) error {
				_, err := rt.UpdateContainerResources(ctx, &runtimeapi.UpdateContainerResourcesRequest{ContainerId: id})
				return err
			},
			"ReopenContainerLog": func(ctx context.Context, id string) error {
				_, err := rt.ReopenContainerLog(ctx, &runtimeapi.ReopenContainerLogRequest{ContainerId: id})
				return err
			},
			"ExecSync": func(ctx context.Context, id string) error {
				_, err := rt.ExecSync(ctx, &runtimeapi.ExecSyncRequest{ContainerId: id, Cmd: []string{"true"}})
				return err
			},
			"Exec": func(ctx context.Context, id string) error {
				_, err := rt.Exec(ctx, &runtimeapi.ExecRequest{ContainerId: id, Cmd: []string{"true"}, Stdout: true})
				return err
			},
			"Attach": func(ctx context.Context, id string) error {
				_, err := rt.Attach(ctx, &runtimeapi.AttachRequest{ContainerId: id, Stdout: true})
				return err
			},
		}
		for name, call := range calls {
			t.Run(name, func(t *testing.T) {
				wantCode(t, call(ctx, nobody), codes.NotFound, nobody)
				wantCode(t, call(ctx, ""), codes.InvalidArgument, "empty")
			})
		}
		for name, call := range map[string]func() error{
			"StopPodSandbox": func() error {
				_, err := rt.StopPodSandbox(ctx, &runtimeapi.StopPodSandboxRequest{PodSandboxId: nobody})
				return err
			},
			"RemovePodSandbox": func() error {
				_, err := rt.RemovePodSandbox(ctx, &runtimeapi.RemovePodSandboxRequest{PodSandboxId: nobody})
				return err
			},
			"StopContainer": func() error {
				_, err := rt.StopContainer(ctx, &runtimeapi.StopContainerRequest{ContainerId: nobody})
				return err
			},
			"RemoveContainer": func() error {
				_, err := rt.RemoveContainer(ctx, &runtimeapi.RemoveContainerRequest{ContainerId: nobody})
				return err
			},
		} {
			if err := call(); err != nil {
				t.Errorf("%s of one that is gone: %v", name, err)
			}
		}
	})
}

// TestWrongState calls what needs a running container with others.
func TestWrongState(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		ctx, rt := daemon.Context(t), d.Runtime
		pod := d.RunPod(t)
		created, ended := pod.Create(t), pod.Run(t, "true")
		ended.WaitExited(t)
		for _, c := range []*daemon.Container{created, ended} {
			_, err := rt.ExecSync(ctx, &runtimeapi.ExecSyncRequest{ContainerId: c.ID, Cmd: []string{"true"}})
			wantCode(t, err, codes.FailedPrecondition, pod.Config.Metadata.Name)
			_, err = rt.Exec(ctx, &runtimeapi.ExecRequest{ContainerId: c.ID, Cmd: []string{"true"}, Stdout: true})
			wantCode(t, err, codes.FailedPrecondition, pod.Config.Metadata.Name)
			_, err = rt.Attach(ctx, &runtimeapi.AttachRequest{ContainerId: c.ID, Stdout: true})
			wantCode(t, err, codes.FailedPrecondition, pod.Config.Metadata.Name)
			_, err = rt.ReopenContainerLog(ctx, &runtimeapi.ReopenContainerLogRequest{ContainerId: c.ID})
			wantCode(t, err, codes.FailedPrecondition, pod.Config.Metadata.Name)
		}
		_, err := rt.StartContainer(ctx, &runtimeapi.StartContainerRequest{ContainerId: ended.ID})
		wantCode(t, err, codes.FailedPrecondition, "ended")
		_, err = rt.UpdateContainerResources(ctx, &runtimeapi.UpdateContainerResourcesRequest{
			ContainerId: ended.ID, Linux: &runtimeapi.LinuxContainerResources{CpuShares: 100},
		})
		wantCode(t, err, codes.FailedPrecondition, "ended")
		running := pod.Run(t)
		_, err = rt.ExecSync(ctx, &runtimeapi.ExecSyncRequest{ContainerId: running.ID})
		wantCode(t, err, codes.InvalidArgument, "cmd")
		_, err = rt.ExecSync(ctx, &runtimeapi.ExecSyncRequest{ContainerId: running.ID, Cmd: []string{"true"}, Timeout: -1})
		wantCode(t, err, codes.InvalidArgument, "timeout")
		_, err = rt.ExecSync(ctx, &runtimeapi.ExecSyncRequest{ContainerId: running.ID, Cmd: []string{"/no/such"}})
		wantCode(t, err, codes.FailedPrecondition, "/no/such")
		_, err = rt.UpdateContainerResources(ctx, &runtimeapi.UpdateContainerResourcesRequest{
			ContainerId: running.ID, Linux: &runtimeapi.LinuxContainerResources{CpusetCpus: "4000"},
		})
		wantCode(t, err, codes.InvalidArgument, "4000")
		pod.Stop(t)
		_, err = rt.PortForward(ctx, &runtimeapi.PortForwardRequest{PodSandboxId: pod.ID, Port: []int32{80}})
		wantCode(t, err, codes.FailedPrecondition, pod.ID)
	})
}

func TestBadImages(t *testing.T) {
	both(t, func(t *testing.T, d *daemon.Daemon) {
		ctx := daemon.Context(t)
		for _, bad := range []struct {
			image string
			code  codes.Code
			parts []string
		}{
			{"", codes.InvalidArgument, []string{"image"}},
			{"NOT an image", codes.InvalidArgument, []string{"NOT an image"}},
			{"berth.test/nosuch:1", codes.NotFound, []string{"berth.test/nosuch:1"}},
			{"127.0.0.1:1/away:1", codes.Unavailable, []string{"127.0.0.1:1/away:1"}},
			{images.OtherArchIndex, codes.NotFound, []string{images.OtherArchIndex, "platform"}},
			{images.BadManifest, codes.FailedPrecondition, []string{images.BadManifest}},
			{images.BadConfig, codes.FailedPrecondition, []string{images.BadConfig}},
			{images.BadDiffID, codes.FailedPrecondition, []string{images.BadDiffID}},
			{images.BadLayerDigest, codes.DataLoss, []string{images.BadLayerDigest}},
			{images.BadLayerSize, codes.DataLoss, []string{images.BadLayerSize}},
			{images.BadLayerFormat, codes.FailedPrecondition, []string{images.BadLayerFormat}},
			{images.MissingLayer, codes.NotFound, []string{images.MissingLayer}},
		} {
			t.Run(bad.image, func(t *testing.T) {
				_, err := d.Image.PullImage(ctx, &runtimeapi.PullImageRequest{Image: &runtimeapi.ImageSpec{Image: bad.image}})
				wantCode(t, err, bad.code, bad.parts...)
				if bad.image == "" {
					return
				}
				status, err := d.Image.ImageStatus(ctx, &runtimeapi.ImageStatusRequest{Image: &runtimeapi.ImageSpec{Image: bad.image}})
				if err == nil && status.GetImage() != nil {
					t.Errorf("is on the node nevertheless: %v", status.GetImage())
				}
			})
		}
		remove := func(image string) {
			t.Helper()
			if _, err := d.Image.RemoveImage(ctx, &runtimeapi.RemoveImageRequest{Image: &runtimeapi.ImageSpec{Image: image}}); err != nil {
				t.Errorf("removing %s: %v", image, err)
			}
		}
		remove("berth.test/nosuch:1") // which is no error
		// Paths that lead out of a layer are taken as from its root.
		d.Pull(t, images.EscapingLayer)
		if _, err := os.Lstat("/tmp/berth-escaped"); err == nil {
			t.Error("a layer has written to the host")
		}
		remove(images.EscapingLayer)
	})
}
