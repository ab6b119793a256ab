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

	"github.com/containerd/containerd/api/types"
	"google.golang.org/protobuf/proto"
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

// Modules compiled into berthd whose versions are told.
const (
	containerdModule = "github.com/containerd/containerd/v2"
	criModule        = "k8s.io/cri-api"
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
		f.program(ctx, Runc),
		f.program(ctx, Shim),
		f.program(ctx, Init),
		plugins(cniDirs),
	}
}

// program asks a companion for its version, or reads what it was built from.
func (f *Finder) program(ctx context.Context, name string) Version {
	file, err := f.Find(name)
	if err != nil {
		return Version{Name: name, Missing: err.Error()}
	}
	v := Version{Name: name, Path: file}
	switch name {
	case Runc:
		v.Version, err = runcVersion(ctx, file)
	case Shim:
		v.Version, err = shimVersion(ctx, file)
	default:
		v.Version, err = builtFrom(file)
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

// shimVersion asks a shim about itself, in the way containerd does, and adds the
// containerd whose packages it is made of.
func shimVersion(ctx context.Context, file string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, file, "-info").Output()
	if err != nil {
		return "", fmt.Errorf("running %s -info: %w", file, err)
	}
	var answer types.RuntimeInfo
	if err := proto.Unmarshal(out, &answer); err != nil {
		return "", fmt.Errorf("understanding %s -info: %w", file, err)
	}
	version := answer.GetVersion().GetVersion()
	if info, err := buildinfo.ReadFile(file); err == nil {
		if m := module(info, "", containerdModule); m.Version != "" {
			version += ", containerd " + m.Version
		}
	}
	return version, nil
}

// builtFrom reads from a Go program which version of its module it was built
// from, without running it.
func builtFrom(file string) (string, error) {
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("reading the build information of %s: %w", file, err)
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v, nil
	}
	return "built with " + info.GoVersion, nil
}

// plugins tells the version of the CNI plugins by the one every node has.
func plugins(dirs []string) Version {
	const sample = "bridge"
	v := Version{Name: "CNI plugins"}
	file, err := FindPlugin(sample, dirs)
	if err == nil {
		v.Path = file
		v.Version, err = builtFrom(file)
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
