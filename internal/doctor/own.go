package doctor

import (
	"path/filepath"
	"strings"

	"github.com/berth-run/berth/engine"
)

// foreign is why something in the state or root directory is left alone.
const foreign = "it is below berthd's directory, but not where berthd has pods and containers; another client of its containerd made it"

// tasks is where containerd has the bundles of tasks, below its root and its state directory.
const tasks = "io.containerd.runtime.v2.task"

// own lists the directories below which everything is Berth's: the directories of pods and containers, and
// the bundles of its own namespace in its containerd. Other namespaces belong to other clients.
func (d *Doctor) own() []string {
	return []string{
		d.Paths.Pods(), d.Paths.Containers(), d.Paths.ContainerData(), d.Paths.FIFOs(), d.Paths.Shims(), d.Paths.ForeignShims(),
		filepath.Join(d.Paths.RuncRoot(), engine.Namespace),
		filepath.Join(d.Paths.ContainerdState(), engine.PodTasksDir, engine.Namespace),
		filepath.Join(d.Paths.ContainerdState(), tasks, engine.Namespace),
		filepath.Join(d.Paths.ContainerdRoot(), tasks, engine.Namespace),
	}
}

// isOwn reports whether a path is in one of the own directories.
func (d *Doctor) isOwn(path string) bool {
	for _, dir := range d.own() {
		if strings.HasPrefix(path, dir+"/") {
			return true
		}
	}
	return d.isPin(path)
}

// pinPrefix begins the names of Berth's pins in the directory of network namespaces, which others share.
const pinPrefix = "berth-"

// isPin reports whether a path is the pin of a pod's network namespace.
func (d *Doctor) isPin(path string) bool {
	return strings.HasPrefix(path, filepath.Join(d.Paths.NetworkNamespaces(), pinPrefix))
}

// inside reports whether a path is in the state or root directory, whoever made it.
func (d *Doctor) inside(path string) bool {
	return strings.HasPrefix(path+"/", d.Paths.State+"/") || strings.HasPrefix(path+"/", d.Paths.Root+"/")
}

// ofNamespace reports whether a shim's command line is one of Berth's namespace. A shim that says
// nothing of a namespace is Berth's own.
func ofNamespace(args []string) bool {
	for i, a := range args {
		if name, value, ok := strings.Cut(a, "="); ok && strings.TrimLeft(name, "-") == "namespace" {
			return value == engine.Namespace
		}
		if (a == "-namespace" || a == "--namespace") && i+1 < len(args) {
			return args[i+1] == engine.Namespace
		}
	}
	return true
}
