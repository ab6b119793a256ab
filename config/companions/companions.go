// Package companions finds the programs that berthd works with (runc, its shim,
// its init, the CNI plugins) and asks them for their versions.
//
// A program is looked for beside berthd's own executable, then in the libexec
// directory that belongs to it (<prefix>/libexec/berth), then in PATH. A build
// tree and an installation thus each use what was built with them, whatever
// else the host has.
package companions

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
)

// Names of the companions.
const (
	// Runc is the OCI runtime of the default handler.
	Runc = "runc"
	// Shim is the process that keeps a pod's containers.
	Shim = "berth-shim"
	// Init is process 1 of pods with a shared PID namespace.
	Init = "berth-init"
)

// systemCNIDir is where CNI plugins are installed on Kubernetes nodes.
const systemCNIDir = "/opt/cni/bin"

// Finder looks for companions.
type Finder struct {
	// Executable is berthd's own path; its directory is searched first.
	Executable string
	// Path is a list of directories as in $PATH, searched last.
	Path string
}

// New returns the finder of the running program.
func New() (*Finder, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding berthd's own executable: %w", err)
	}
	return &Finder{Executable: exe, Path: os.Getenv("PATH")}, nil
}

// Find returns the absolute path of a companion. An absolute name is only
// checked. The error is errdefs.ErrNotFound and names every place searched.
func (f *Finder) Find(name string) (string, error) {
	if filepath.IsAbs(name) {
		if !isProgram(name) {
			return "", fmt.Errorf("%s is not an executable file: %w", name, errdefs.ErrNotFound)
		}
		return name, nil
	}
	if name == "" || strings.ContainsRune(name, '/') {
		return "", fmt.Errorf("%q is neither an absolute path nor the name of a program: %w",
			name, errdefs.ErrInvalidArgument)
	}
	dirs := f.programDirs()
	for _, dir := range dirs {
		if p := filepath.Join(dir, name); isProgram(p) {
			return p, nil
		}
	}
	return "", fmt.Errorf("%s not found in any of %s: %w", name, strings.Join(dirs, ", "), errdefs.ErrNotFound)
}

// CNIDirs returns the directories in which CNI plugins are looked for when the
// configuration names none: those shipped with berthd that exist, then
// /opt/cni/bin.
func (f *Finder) CNIDirs() []string {
	var dirs []string
	for _, dir := range f.ownDirs() {
		if cni := filepath.Join(dir, "cni"); isDir(cni) {
			dirs = append(dirs, cni)
		}
	}
	return append(dirs, systemCNIDir)
}

// FindPlugin returns the absolute path of a CNI plugin, the first match in dirs.
func FindPlugin(name string, dirs []string) (string, error) {
	for _, dir := range dirs {
		if p := filepath.Join(dir, name); isProgram(p) {
			return p, nil
		}
	}
	return "", fmt.Errorf("CNI plugin %s not found in any of %s: %w",
		name, strings.Join(dirs, ", "), errdefs.ErrNotFound)
}

// ownDirs are the directories that belong to this berthd.
func (f *Finder) ownDirs() []string {
	dir := filepath.Dir(f.Executable)
	return []string{dir, filepath.Join(filepath.Dir(dir), "libexec", "berth")}
}

// programDirs are all directories a program is looked for in, in order. Relative
// entries of PATH are left out: what they mean depends on where berthd was
// started.
func (f *Finder) programDirs() []string {
	dirs := f.ownDirs()
	for _, dir := range filepath.SplitList(f.Path) {
		if filepath.IsAbs(dir) && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// SearchPath is the list of directories in which Find looks, in the form of $PATH.
func (f *Finder) SearchPath() string {
	return strings.Join(f.programDirs(), string(filepath.ListSeparator))
}

func isProgram(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0
}

func isDir(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.IsDir()
}
