package config

import (
	"cmp"
	"fmt"
	"net"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/berth-run/berth/internal/statedir"
)

// unixScheme may stand before socket paths.
const unixScheme = "unix://"

// Validate checks that every value can work, as far as that can be seen without
// touching the system. The error is of type Problems. It expects a completed
// Config.
func (c *Config) Validate() error {
	v := validator{config: c}
	v.directories()
	v.logAndMetrics()
	v.streaming()
	v.containerd()
	v.runtime()
	v.cni()
	v.images()
	v.podsAndContainers()
	v.security()
	if len(v.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(v.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Origin.File, b.Origin.File), cmp.Compare(a.Origin.Line, b.Origin.Line))
	})
	return v.problems
}

// validator collects problems; its methods take the dotted key they speak of.
type validator struct {
	config   *Config
	problems Problems
}

func (v *validator) complain(key, format string, args ...any) {
	origin, _ := v.config.Origin(key)
	v.problems = append(v.problems, Problem{Origin: origin, Key: key, Message: fmt.Sprintf(format, args...)})
}

func (v *validator) directories() {
	c := v.config
	ok := v.absolute("root", c.Root)
	ok = v.absolute("state", c.State) && ok
	if !ok {
		return
	}
	for _, d := range []struct{ key, dir string }{{"root", c.Root}, {"state", c.State}} {
		if strings.ContainsAny(d.dir, ":,\\\"\n") {
			v.complain(d.key, "must not contain any of : , \\ \" (mount options could not hold it), is %q", d.dir)
		}
		if filepath.Clean(d.dir) == "/" {
			v.complain(d.key, "must not be the root of the file system")
		}
	}
	root, state := filepath.Clean(c.Root), filepath.Clean(c.State)
	switch {
	case root == state:
		v.complain("state", "must not be the same directory as root, %s", root)
	case strings.HasPrefix(root, state+"/"):
		v.complain("root", "must not lie in the state directory %s, which does not survive a reboot", state)
	}
	if problem := statedir.Problem(state, c.Containerd.Address == ""); problem != "" {
		v.complain("state", "%s", problem)
	}
	v.socket("address", c.Address)
}

func (v *validator) logAndMetrics() {
	c := v.config
	v.oneOf("log.level", c.Log.Level, LogLevels()...)
	v.oneOf("log.format", c.Log.Format, "text", "json")
	if a := c.Metrics.Address; strings.HasPrefix(a, unixScheme) {
		v.socket("metrics.address", strings.TrimPrefix(a, unixScheme))
	} else if a != "" {
		v.hostPort("metrics.address", a)
	}
	if f := c.Metrics.TokenFile; f != "" {
		v.absolute("metrics.token_file", f)
	}
	v.tls("metrics", c.Metrics.TLSCertFile, c.Metrics.TLSKeyFile, c.Metrics.TLSClientCAFile)
}

func (v *validator) streaming() {
	s := v.config.Streaming
	if s.Address == "" || strings.ContainsAny(s.Address, "/ []") {
		v.complain("streaming.address", "must be a host name or an IP address, is %q", s.Address)
	} else if !IsLoopback(s.Address) && s.TLSCertFile == "" {
		v.complain("streaming.address", "%s can be reached from other machines: set streaming.tls_cert_file "+
			"and streaming.tls_key_file, or listen on 127.0.0.1", s.Address)
	}
	if s.Port < 0 || s.Port > 65535 {
		v.complain("streaming.port", "must be between 0 and 65535, is %d", s.Port)
	}
	v.positive("streaming.idle_timeout", s.IdleTimeout)
	v.positive("streaming.creation_timeout", s.CreationTimeout)
	v.positive("streaming.dial_timeout", s.DialTimeout)
	v.tls("streaming", s.TLSCertFile, s.TLSKeyFile, s.TLSClientCAFile)
}

// IsLoopback reports whether a host name or IP address is reached from this machine alone.
func IsLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (v *validator) containerd() {
	c := v.config.Containerd
	if c.Address != "" {
		v.socket("containerd.address", c.Address)
	}
	v.word("containerd.snapshotter", c.Snapshotter)
	v.positive("containerd.connect_timeout", c.ConnectTimeout)
	v.positive("containerd.call_timeout", c.CallTimeout)
}

func (v *validator) images() {
	c := v.config.Image
	v.absolute("image.registry_config_dir", c.RegistryConfigDir)
	v.atLeast("image.max_concurrent_pulls", int64(c.MaxConcurrentPulls), 1)
	v.atLeast("image.max_concurrent_downloads", int64(c.MaxConcurrentDownloads), 1)
	v.notNegative("image.max_concurrent_unpacks", int64(c.MaxConcurrentUnpacks))
	v.positive("image.progress_timeout", c.ProgressTimeout)
	v.atLeast("image.min_throughput", c.MinThroughput, 1)
	v.positive("image.resolve_timeout", c.ResolveTimeout)
	v.positive("image.pull_timeout", c.PullTimeout)
	v.notNegative("image.max_unpacked_size", c.MaxUnpackedSize)
	v.positive("image.remove_timeout", c.RemoveTimeout)
	for _, p := range c.Pinned {
		if strings.TrimSuffix(p, "*") == "" || strings.ContainsAny(strings.TrimSuffix(p, "*"), "* ") {
			v.complain("image.pinned", "%q is not an image reference with at most one * at its end", p)
		}
	}
}

func (v *validator) podsAndContainers() {
	p, c := v.config.Pod, v.config.Container
	v.notNegative("pod.max_concurrent_starts", int64(p.MaxConcurrentStarts))
	v.positive("pod.operation_timeout", p.OperationTimeout)
	v.atLeast("pod.shm_size", p.ShmSize, 4096)
	v.durationNotNegative("pod.drain_timeout", p.DrainTimeout)

	v.notNegative("container.max_concurrent_starts", int64(c.MaxConcurrentStarts))
	v.atLeast("container.max_log_line_size", int64(c.MaxLogLineSize), 256)
	v.durationNotNegative("container.exec_drain_timeout", c.ExecDrainTimeout)
	v.atLeast("container.exec_max_output", c.ExecMaxOutput, 1)
	v.positive("container.kill_timeout", c.KillTimeout)
	if c.BlockIOConfigFile != "" {
		v.absolute("container.block_io_config_file", c.BlockIOConfigFile)
	}
	for _, name := range sortedKeys(c.Ulimits) {
		key, u := "container.ulimits."+name, c.Ulimits[name]
		if !slices.Contains(ulimitNames, name) {
			v.complain(key, "unknown limit; there are %s", strings.Join(ulimitNames, ", "))
		}
		if u.Soft > u.Hard {
			v.complain(key, "the soft limit %d is above the hard limit %d", u.Soft, u.Hard)
		}
	}
}

// ulimitNames are the limits of setrlimit(2) as OCI spells them, without the
// RLIMIT_ and in lower case.
var ulimitNames = []string{
	"as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice",
	"nofile", "nproc", "rss", "rtprio", "rttime", "sigpending", "stack",
}

func (v *validator) security() {
	c := v.config
	v.oneOf("cgroup.driver", string(c.Cgroup.Driver), cgroupDrivers...)
	profile := c.Security.UnsetSeccompProfile
	file, local := strings.CutPrefix(profile, "localhost/")
	if profile != "unconfined" && profile != "runtime/default" && (!local || !filepath.IsAbs(file)) {
		v.complain("security.unset_seccomp_profile", `must be "unconfined", "runtime/default" or "localhost/" `+
			`and the absolute path of a file, is %q`, profile)
	} else if local {
		if problem := seccompProblem(file); problem != "" {
			v.complain("security.unset_seccomp_profile", "%s", problem)
		}
	}
	for _, name := range c.Security.DefaultCapabilities {
		if CapabilityName(name) == "" {
			v.complain("security.default_capabilities", "there is no capability %q", name)
		}
	}
	for _, dir := range c.CDI.SpecDirs {
		v.absolute("cdi.spec_dirs", dir)
	}
}

func (v *validator) runtime() {
	r := v.config.Runtime
	if _, ok := r.Handlers[r.DefaultHandler]; !ok {
		v.complain("runtime.default_handler", "there is no handler %q; there are %s",
			r.DefaultHandler, strings.Join(sortedKeys(r.Handlers), ", "))
	}
	for _, name := range sortedKeys(r.Handlers) {
		v.handler("runtime.handlers."+name, name, r.Handlers[name])
	}
}

var (
	wordPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)
	shimPattern = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+){2,}$`)
)

func (v *validator) handler(key, name string, h Handler) {
	v.word(key, name)
	v.handlerProgram(key, h)
	v.oneOf(key+".cgroup_driver", string(h.CgroupDriver), cgroupDrivers...)
	if h.Snapshotter != "" {
		v.word(key+".snapshotter", h.Snapshotter)
	}
	if h.BaseSpec != "" {
		v.absolute(key+".base_spec", h.BaseSpec)
	}
	v.patterns(key+".pod_annotations", h.PodAnnotations)
	v.patterns(key+".container_annotations", h.ContainerAnnotations)
	v.tristate(key+".user_namespaces", h.UserNamespaces)
	v.positive(key+".timeout", h.Timeout)
}

func (v *validator) handlerProgram(key string, h Handler) {
	if h.Shim == "" {
		if h.Options != (HandlerOptions{}) {
			v.complain(key+".options", "are for the handler's shim, but none is set; "+
				"an OCI runtime is named with %s.path", key)
		}
		if strings.ContainsRune(h.Path, '/') && !filepath.IsAbs(h.Path) {
			v.complain(key+".path", "must be an absolute path or a plain name, is %q", h.Path)
		}
		return
	}
	if h.Path != "" {
		v.complain(key+".path", "cannot be set together with %s.shim, which brings its own runtime", key)
	}
	if !filepath.IsAbs(h.Shim) && !shimPattern.MatchString(h.Shim) {
		v.complain(key+".shim", `must be a name such as "io.containerd.kata.v2" or an absolute path, is %q`, h.Shim)
	}
	if h.Options.ConfigPath != "" {
		v.absolute(key+".options.config_path", h.Options.ConfigPath)
		if h.Options.ConfigBody != "" {
			v.complain(key+".options.config_body", "cannot be set together with config_path")
		}
	}
}

func (v *validator) patterns(key string, patterns []string) {
	for _, p := range patterns {
		if _, err := path.Match(p, ""); err != nil || p == "" {
			v.complain(key, "%q is not a shell pattern", p)
		}
	}
}

func (v *validator) hostPort(key, address string) {
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		v.complain(key, `must be HOST:PORT such as "127.0.0.1:9945", or unix:// and a path, is %q`, address)
	}
}
