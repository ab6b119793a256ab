package ocispec

import (
	"fmt"
	"math"
	"path"
	"path/filepath"
	"strings"

	"github.com/containerd/errdefs"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Validate refuses a container request that can never work, from the request
// and its pod's request alone. It is to be called before any side effect.
// Every error is ErrInvalidArgument and names the field.
func Validate(config *runtimeapi.ContainerConfig, pod *runtimeapi.PodSandboxConfig) error {
	if config == nil {
		return fmt.Errorf("config is missing: %w", errdefs.ErrInvalidArgument)
	}
	name := config.GetMetadata().GetName()
	for _, check := range []func(*runtimeapi.ContainerConfig, *runtimeapi.PodSandboxConfig) error{
		validateIdentity, validateCounts, validateProcess, validateLogPath, validateMounts, validateSecurity, validateNamespaces, validateUser, validateResources,
	} {
		if err := check(config, pod); err != nil {
			return fmt.Errorf("container %q of pod %s: %w", name, podName(pod), err)
		}
	}
	return nil
}

// ValidatePrivileged refuses a privileged container in a pod that is not. pod is the sandbox_config
// of the CreateContainer request, by which containerd and CRI-O judge: a pod becomes privileged when
// its first privileged container comes, as with kubectl debug --profile=sysadmin, and the kubelet says so
// there. ErrInvalidArgument.
func ValidatePrivileged(config *runtimeapi.ContainerConfig, pod *runtimeapi.PodSandboxConfig) error {
	if config.GetLinux().GetSecurityContext().GetPrivileged() && !pod.GetLinux().GetSecurityContext().GetPrivileged() {
		return invalid("container %q of pod %s: config.linux.security_context.privileged: a privileged container needs a sandbox_config whose security_context is privileged too",
			config.GetMetadata().GetName(), podName(pod))
	}
	return nil
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), errdefs.ErrInvalidArgument)
}

func validateIdentity(c *runtimeapi.ContainerConfig, pod *runtimeapi.PodSandboxConfig) error {
	switch {
	case c.GetMetadata() == nil:
		return invalid("config.metadata is missing")
	case c.GetMetadata().GetName() == "":
		return invalid("config.metadata.name is empty")
	case c.GetImage().GetImage() == "":
		return invalid("config.image is missing")
	case pod == nil || pod.GetMetadata() == nil:
		return invalid("sandbox_config.metadata is missing")
	}
	return nil
}

func validateProcess(c *runtimeapi.ContainerConfig, _ *runtimeapi.PodSandboxConfig) error {
	for _, kv := range c.GetEnvs() {
		if kv.GetKey() == "" || kv.GetKey()[0] == '=' || strings.ContainsRune(kv.GetKey(), 0) || strings.ContainsRune(string(kv.GetValue()), 0) {
			return invalid("config.envs: %q is no environment variable", kv.GetKey())
		}
	}
	for _, a := range append(append([]string{}, c.GetCommand()...), c.GetArgs()...) {
		if strings.ContainsRune(a, 0) {
			return invalid("config.command, config.args: %q has a NUL byte", a)
		}
	}
	if len(c.GetCommand()) > 0 && c.GetCommand()[0] == "" {
		return invalid("config.command: the program's name is empty")
	}
	if d := c.GetWorkingDir(); d != "" && !path.IsAbs(d) {
		return invalid("config.working_dir %q is not absolute", d)
	}
	if runtimeapi.Signal_name[int32(c.GetStopSignal())] == "" {
		return invalid("config.stop_signal: unknown signal %d", c.GetStopSignal())
	}
	return nil
}

// validateLogPath keeps logs in the pod's directory.
func validateLogPath(c *runtimeapi.ContainerConfig, pod *runtimeapi.PodSandboxConfig) error {
	if d := pod.GetLogDirectory(); d != "" && !path.IsAbs(d) {
		return invalid("sandbox_config.log_directory %q is not absolute", d)
	}
	// An absolute path begins at the log directory, as containerd and CRI-O join it.
	if p := strings.TrimLeft(c.GetLogPath(), "/"); c.GetLogPath() != "" && (!filepath.IsLocal(p) || path.Clean(p) == ".") {
		return invalid("config.log_path %q leads out of the pod's log directory", p)
	}
	return nil
}

func validateMounts(c *runtimeapi.ContainerConfig, _ *runtimeapi.PodSandboxConfig) error {
	for i, m := range c.GetMounts() {
		if err := validateMount(m); err != nil {
			return fmt.Errorf("config.mounts[%d]: %w", i, err)
		}
	}
	for i, d := range c.GetDevices() {
		if err := validateDevice(d); err != nil {
			return fmt.Errorf("config.devices[%d]: %w", i, err)
		}
	}
	if _, err := cdiNames(c); err != nil {
		return fmt.Errorf("config.CDI_devices: %w", err)
	}
	return nil
}

func validateSecurity(c *runtimeapi.ContainerConfig, _ *runtimeapi.PodSandboxConfig) error {
	sc := c.GetLinux().GetSecurityContext()
	if err := validateSeccomp(sc); err != nil {
		return fmt.Errorf("security_context.seccomp: %w", err)
	}
	if err := validateAppArmor(sc); err != nil {
		return fmt.Errorf("security_context.apparmor: %w", err)
	}
	return nil
}

func validateNamespaces(c *runtimeapi.ContainerConfig, pod *runtimeapi.PodSandboxConfig) error {
	if _, err := UserNamespace(pod); err != nil {
		return err
	}
	o := c.GetLinux().GetSecurityContext().GetNamespaceOptions()
	switch {
	case o.GetPid() == runtimeapi.NamespaceMode_TARGET && o.GetTargetId() == "":
		return invalid("namespace_options.pid TARGET needs target_id")
	case runtimeapi.NamespaceMode_name[int32(o.GetPid())] == "":
		return invalid("namespace_options.pid: unknown mode %d", o.GetPid())
	}
	own, pods := o.GetUsernsOptions(), pod.GetLinux().GetSecurityContext().GetNamespaceOptions().GetUsernsOptions()
	if own != nil && !sameUserns(own, pods) {
		return invalid("namespace_options.userns_options differ from those of the pod")
	}
	return nil
}

// sameUserns compares a container's options to its pod's; NODE is the same as none.
func sameUserns(a, b *runtimeapi.UserNamespace) bool {
	if b == nil {
		return a.GetMode() == runtimeapi.NamespaceMode_NODE
	}
	return a.GetMode() == b.GetMode() && sameIDs(a.GetUids(), b.GetUids()) && sameIDs(a.GetGids(), b.GetGids())
}

func sameIDs(a, b []*runtimeapi.IDMapping) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].GetHostId() != b[i].GetHostId() || a[i].GetContainerId() != b[i].GetContainerId() || a[i].GetLength() != b[i].GetLength() {
			return false
		}
	}
	return true
}

func validateUser(c *runtimeapi.ContainerConfig, pod *runtimeapi.PodSandboxConfig) error {
	sc := c.GetLinux().GetSecurityContext()
	inRange := func(v int64) bool { return v >= 0 && v <= math.MaxInt32 }
	switch {
	case sc.GetRunAsGroup() != nil && sc.GetRunAsUser() == nil && sc.GetRunAsUsername() == "":
		return invalid("security_context.run_as_group needs run_as_user or run_as_username")
	case !inRange(sc.GetRunAsUser().GetValue()):
		return invalid("security_context.run_as_user %d is out of range", sc.GetRunAsUser().GetValue())
	case !inRange(sc.GetRunAsGroup().GetValue()):
		return invalid("security_context.run_as_group %d is out of range", sc.GetRunAsGroup().GetValue())
	case runtimeapi.SupplementalGroupsPolicy_name[int32(sc.GetSupplementalGroupsPolicy())] == "":
		return invalid("security_context.supplemental_groups_policy: unknown policy %d", sc.GetSupplementalGroupsPolicy())
	}
	for _, g := range append(append([]int64{}, sc.GetSupplementalGroups()...), pod.GetLinux().GetSecurityContext().GetSupplementalGroups()...) {
		if !inRange(g) {
			return invalid("security_context.supplemental_groups: %d is out of range", g)
		}
	}
	return nil
}

func validateResources(c *runtimeapi.ContainerConfig, _ *runtimeapi.PodSandboxConfig) error {
	return ValidateResources("config.linux.resources", c.GetLinux().GetResources())
}
