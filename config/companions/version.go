package companions

import (
	"context"
	"debug/buildinfo"
	"fmt"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

// Version says which version of a part is in use.
type Version struct {
	// Name of the part, such as "runc".
	Name string `json:"name"`
	// Version as the part's authors write it; empty when it is missing.
	Version string `json:"version,omitempty"`
	// Path of the program; empty for what is compiled into berthd.
	Path string `json:"path,omitempty"`
	// Missing says why there is no version.
	Missing string `json:"missing,omitempty"`
}

// Modules whose versions are told.
const (
	containerdModule = "github.com/containerd/containerd/v2"
	criModule        = "k8s.io/cri-api"
	cniModule        = "github.com/containernetworking/plugins"
	runcModule       = "github.com/opencontainers/runc"
)

// probeTimeout bounds a companion that is asked for its version.
const probeTimeout = 5 * time.Second

// Own returns the versions of what is compiled into the running program;
// version is its own.
func Own(version string) []Version {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	return []Version{
		{Name: "berthd", Version: version},
		module(info, "containerd (embedded)", containerdModule),
		module(info, "CRI API", criModule),
		{Name: "Go", Version: strings.TrimPrefix(runtime.Version(), "go")},
	}
}

// Versions returns the versions of the companions and of the CNI plugins in
// dirs. One that is missing is reported as such.
func (f *Finder) Versions(ctx context.Context, cniDirs []string) []Version {
	return []Version{
		f.program(ctx, Runc, runcModule),
		f.program(ctx, Shim, containerdModule),
		f.program(ctx, Init, ""),
		plugins(cniDirs),
	}
}

// program asks a companion, or reads the version of the module that made it.
func (f *Finder) program(ctx context.Context, name, path string) Version {
	file, err := f.Find(name)
	if err != nil {
		return Version{Name: name, Missing: err.Error()}
	}
	v := Version{Name: name, Path: file}
	if name == Runc {
		v.Version, err = runcVersion(ctx, file)
	} else {
		v.Version, err = builtFrom(file, path)
	}
	if err != nil {
		v.Missing = err.Error()
	}
	return v
}

// runcVersion runs `runc --version`, whose first line is "runc version 1.5.2".
// Other runtimes with runc's command line answer alike.
func runcVersion(ctx context.Context, file string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, file, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("running %s --version: %w", file, err)
	}
	first, _, _ := strings.Cut(string(out), "\n")
	if _, version, ok := strings.Cut(first, "version "); ok {
		return strings.TrimSpace(version), nil
	}
	return strings.TrimSpace(first), nil
}

// builtFrom reads from a Go program which version of a module it contains,
// without running it.
func builtFrom(file, path string) (string, error) {
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("reading the build information of %s: %w", file, err)
	}
	version := info.Main.Version
	if version == "" || version == "(devel)" {
		version = "built with " + info.GoVersion
	}
	if path == "" {
		return version, nil
	}
	m := module(info, "", path)
	if m.Missing != "" {
		return version, nil
	}
	if info.Main.Path == path {
		return m.Version, nil
	}
	return fmt.Sprintf("%s, containerd %s", version, m.Version), nil
}

// plugins tells the version of the CNI plugins by the one every node has.
func plugins(dirs []string) Version {
	const sample = "bridge"
	v := Version{Name: "CNI plugins"}
	file, err := FindPlugin(sample, dirs)
	if err == nil {
		v.Path = file
		v.Version, err = builtFrom(file, cniModule)
	}
	if err != nil {
		v.Missing = err.Error()
	}
	return v
}

// module finds a module in a program's build information.
func module(info *debug.BuildInfo, name, path string) Version {
	v := Version{Name: name}
	for _, m := range append([]*debug.Module{&info.Main}, info.Deps...) {
		if m.Path == path {
			v.Version = m.Version
			if m.Replace != nil {
				v.Version = m.Replace.Version
			}
			return v
		}
	}
	v.Missing = path + " is not linked in"
	return v
}
