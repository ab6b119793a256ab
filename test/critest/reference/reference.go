// Package reference runs containerd with its own CRI plugin, as a runtime known to
// be good: a harness that fails on it is itself at fault.
package reference

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"text/template"
	"time"
)

// bridge is the network of its pods, apart from any other runtime's.
const bridge = "berthref0"

// Containerd is a running containerd.
type Containerd struct {
	// Socket is the path of its CRI socket.
	Socket string

	bin, dir string
	cmd      *exec.Cmd
	exited   chan struct{}
}

// SandboxImage is the image of its pause containers. It has to differ from those the
// validation suite removes.
const SandboxImage = "registry.k8s.io/reference-pause:1"

// Start starts bin/containerd with everything it writes below a new directory. bin is
// the directory of Berth's companions, certs the certs.d directory for registries, among
// which SandboxImage must be found.
func Start(ctx context.Context, bin, certs string) (*Containerd, error) {
	dir, err := os.MkdirTemp("", "berth-reference-")
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o711); err != nil { // user namespaces have to get through
		return nil, err
	}
	c := &Containerd{Socket: filepath.Join(dir, "containerd.sock"), bin: bin, dir: dir, exited: make(chan struct{})}
	if err := c.writeConfig(certs); err != nil {
		return nil, err
	}
	logFile, err := os.Create(filepath.Join(dir, "containerd.log"))
	if err != nil {
		return nil, err
	}
	defer logFile.Close()
	c.cmd = exec.Command(filepath.Join(bin, "containerd"), "--config", filepath.Join(dir, "config.toml"))
	c.cmd.Stdout, c.cmd.Stderr = logFile, logFile
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting containerd: %w", err)
	}
	go func() {
		_ = c.cmd.Wait()
		close(c.exited)
	}()
	if err := c.waitReady(ctx); err != nil {
		log := c.Log()
		c.Stop()
		return nil, fmt.Errorf("%w\n%s", err, log)
	}
	return c, nil
}

func (c *Containerd) writeConfig(certs string) error {
	values := map[string]string{"Dir": c.dir, "Bin": c.bin, "Certs": certs, "Bridge": bridge, "Pause": SandboxImage}
	for name, text := range map[string]string{"config.toml": configTOML, "net.d/10-reference.conflist": conflist} {
		var out bytes.Buffer
		if err := template.Must(template.New(name).Parse(text)).Execute(&out, values); err != nil {
			return err
		}
		path := filepath.Join(c.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// waitReady waits until the CRI socket answers.
func (c *Containerd) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		if conn, err := net.Dial("unix", c.Socket); err == nil {
			conn.Close()
			if _, err := c.crictl(ctx, "info"); err == nil {
				return nil
			}
		}
		select {
		case <-c.exited:
			return fmt.Errorf("containerd ended: %v", c.cmd.ProcessState)
		case <-ctx.Done():
			return fmt.Errorf("waiting for containerd: %w", ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (c *Containerd) crictl(ctx context.Context, args ...string) (string, error) {
	args = append([]string{"--runtime-endpoint", "unix://" + c.Socket, "--config", "/dev/null"}, args...)
	out, err := exec.CommandContext(ctx, filepath.Join(c.bin, "crictl"), args...).CombinedOutput()
	return string(out), err
}

// Log is what containerd has logged.
func (c *Containerd) Log() string {
	out, _ := os.ReadFile(filepath.Join(c.dir, "containerd.log"))
	return string(out)
}

// Stop removes all pods, ends containerd and takes away everything it made.
func (c *Containerd) Stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	_, _ = c.crictl(ctx, "rmp", "--all", "--force")
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.exited:
	case <-ctx.Done():
		_ = c.cmd.Process.Kill()
		<-c.exited
	}
	unmountBelow(c.dir)
	_ = exec.Command("ip", "link", "delete", bridge).Run() // not there when no pod ran
	_ = os.RemoveAll(c.dir)
}

// unmountBelow unmounts everything below dir, the latest first.
func unmountBelow(dir string) {
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	lines := strings.Split(string(mounts), "\n")
	for n := len(lines) - 1; n >= 0; n-- {
		if fields := strings.Fields(lines[n]); len(fields) > 4 && strings.HasPrefix(fields[4], dir+"/") {
			_ = syscall.Unmount(fields[4], syscall.MNT_DETACH)
		}
	}
}
