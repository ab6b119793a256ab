package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// demo is the demonstration under way.
type demo struct {
	*endpoint
	print *printer
	// image is the reference of the image, in the demonstration's registry.
	image string
	// dir holds the pod's logs and the files for crictl.
	dir string

	pulled   bool
	pod      *runtimeapi.PodSandboxConfig
	podID    string
	hostPort int
	web      string
	visitor  string
}

// webPort is where the container listens, see scripts.
const webPort = 8080

func (d *demo) pull(ctx context.Context) error {
	d.print.command("crictl pull %s", d.image)
	start := time.Now()
	spec := &runtimeapi.ImageSpec{Image: d.image}
	pulled, err := d.images.PullImage(ctx, &runtimeapi.PullImageRequest{Image: spec})
	if err != nil {
		return err
	}
	d.pulled = true
	took := since(start)
	status, err := d.images.ImageStatus(ctx, &runtimeapi.ImageStatusRequest{Image: spec})
	if err != nil {
		return err
	}
	d.print.line("%s  %s, in %s", pulled.GetImageRef(), size(status.GetImage().GetSize()), took)
	return nil
}

func (d *demo) runPod(ctx context.Context) error {
	// Starting goes on in the runtime when the caller leaves, and then nobody
	// would know the ID: a Ctrl-C waits for the end of this step.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	var err error
	if d.hostPort, err = freePort(); err != nil {
		return err
	}
	d.pod = &runtimeapi.PodSandboxConfig{
		Metadata:     &runtimeapi.PodSandboxMetadata{Name: "demo", Namespace: "default", Uid: fmt.Sprintf("demo-%d", os.Getpid())},
		Hostname:     "demo",
		LogDirectory: d.dir,
		PortMappings: []*runtimeapi.PortMapping{{ContainerPort: webPort, HostPort: int32(d.hostPort)}},
		Linux: &runtimeapi.LinuxPodSandboxConfig{
			SecurityContext: &runtimeapi.LinuxSandboxSecurityContext{NamespaceOptions: ownProcesses()},
		},
	}
	if err := d.save("pod.json", d.pod); err != nil {
		return err
	}
	d.print.command("crictl runp pod.json")
	start := time.Now()
	pod, err := d.RunPodSandbox(ctx, &runtimeapi.RunPodSandboxRequest{Config: d.pod})
	if err != nil {
		return err
	}
	d.podID = pod.GetPodSandboxId()
	took := since(start)
	status, err := d.PodSandboxStatus(ctx, &runtimeapi.PodSandboxStatusRequest{PodSandboxId: d.podID})
	if err != nil {
		return err
	}
	d.print.line("pod %s has %s, in %s", short(d.podID), addresses(status.GetStatus().GetNetwork()), took)
	if d.web, err = d.runContainer(ctx, "web"); err != nil {
		return err
	}
	d.visitor, err = d.runContainer(ctx, "visitor")
	return err
}

func (d *demo) runContainer(ctx context.Context, name string) (string, error) {
	container := &runtimeapi.ContainerConfig{
		Metadata: &runtimeapi.ContainerMetadata{Name: name},
		Image:    &runtimeapi.ImageSpec{Image: d.image},
		Command:  []string{name},
		LogPath:  name + ".log",
		Linux: &runtimeapi.LinuxContainerConfig{
			SecurityContext: &runtimeapi.LinuxContainerSecurityContext{NamespaceOptions: ownProcesses()},
		},
	}
	if err := d.save(name+".json", container); err != nil {
		return "", err
	}
	d.print.command("crictl start $(crictl create %s %s.json pod.json)", short(d.podID), name)
	start := time.Now()
	created, err := d.CreateContainer(ctx, &runtimeapi.CreateContainerRequest{
		PodSandboxId: d.podID, Config: container, SandboxConfig: d.pod,
	})
	if err != nil {
		return "", fmt.Errorf("creating container %s: %w", name, err)
	}
	id := created.GetContainerId()
	if _, err := d.StartContainer(ctx, &runtimeapi.StartContainerRequest{ContainerId: id}); err != nil {
		return "", fmt.Errorf("starting container %s: %w", name, err)
	}
	d.print.line("%s is container %s, in %s", name, short(id), since(start))
	return id, nil
}

func (d *demo) exec(ctx context.Context) error {
	command := []string{"ps", "-o", "pid,user,args"}
	d.print.command("crictl exec %s %s", short(d.web), strings.Join(command, " "))
	out, err := d.ExecSync(ctx, &runtimeapi.ExecSyncRequest{ContainerId: d.web, Cmd: command, Timeout: 10})
	if err != nil {
		return err
	}
	if out.GetExitCode() != 0 {
		return fmt.Errorf("it ended with exit code %d: %s", out.GetExitCode(), out.GetStderr())
	}
	d.print.text(string(out.GetStdout()))
	return nil
}

// ownProcesses is what the kubelet asks for unless the pod says otherwise: a
// process namespace for each container.
func ownProcesses() *runtimeapi.NamespaceOption {
	return &runtimeapi.NamespaceOption{Pid: runtimeapi.NamespaceMode_CONTAINER}
}

// save writes a request as crictl reads it.
func (d *demo) save(name string, message any) error {
	data, err := json.MarshalIndent(message, "", "  ")
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return os.WriteFile(filepath.Join(d.dir, name), append(data, '\n'), 0o644)
}

func addresses(n *runtimeapi.PodSandboxNetworkStatus) string {
	all := []string{n.GetIp()}
	for _, ip := range n.GetAdditionalIps() {
		all = append(all, ip.GetIp())
	}
	return strings.Join(all, " and ")
}

// freePort returns a TCP port nobody listens on.
func freePort() (int, error) {
	l, err := net.Listen("tcp4", ":0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
