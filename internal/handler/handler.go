// Package handler resolves runtime handlers, which a RuntimeClass of Kubernetes
// names, to what runs their pods: a shim, an OCI runtime binary, a snapshotter,
// options.
package handler

import (
	"context"
	"fmt"
	"path/filepath"
	"sort"
	"time"

	"github.com/containerd/containerd/api/types/runc/options"
	runtimeoptions "github.com/containerd/containerd/api/types/runtimeoptions/v1"
	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/klog/v2"

	"github.com/berth-run/berth/config"
	"github.com/berth-run/berth/config/companions"
	"github.com/berth-run/berth/container/ocispec"
	"github.com/berth-run/berth/internal/hostinfo"
)

// Handler is one way to run pods. It does not change after Resolve.
type Handler struct {
	// Name as RunPodSandboxRequest.runtime_handler gives it.
	Name string
	// Shim is containerd's runtime name: the absolute path of berth-shim, or
	// what the configuration says for a foreign shim.
	Shim string
	// Foreign is set for a containerd shim that is not Berth's: it is started by
	// containerd, and its streams are read by berthd.
	Foreign bool
	// Binary is the OCI runtime's absolute path, empty for a foreign shim.
	Binary string
	// Snapshotter of the handler's containers.
	Snapshotter string
	// Systemd reports whether cgroup paths are in systemd's form.
	Systemd bool
	// Spec is what the handler changes in OCI specs.
	Spec ocispec.Runtime
	// UserNamespaces reports whether pods of the handler may have one.
	UserNamespaces bool
	// Timeout bounds a single operation of the shim.
	Timeout time.Duration

	config   config.Handler
	runcRoot string
	dirs     []string // where layers and the pods' files are
}

// Set are the configured handlers.
type Set struct {
	byName       map[string]*Handler
	defaultName  string
	leftOut      map[string]error // what the handlers lack that are configured and not there
	descriptions []*runtimeapi.RuntimeHandler
}

// Node is what handlers find on a node.
type Node struct {
	// Find looks for programs.
	Find *companions.Finder
	// Host is what the kernel can do.
	Host *hostinfo.Info
	// Snapshotter returns nil when containerd has the snapshotter and the host can use it.
	Snapshotter func(name string) error
	// Systemd is set where cgroup.driver is systemd's.
	Systemd bool
}

// Resolve finds what all configured handlers need. A handler that lacks something
// is fatal when it is the default one, and else left out with a warning, since the
// node can do without it.
func Resolve(ctx context.Context, cfg *config.Config, node Node) (*Set, error) {
	set := &Set{byName: map[string]*Handler{}, leftOut: map[string]error{}, defaultName: cfg.Runtime.DefaultHandler}
	for name, hc := range cfg.Runtime.Handlers {
		h, err := resolve(ctx, cfg, name, hc, node)
		if err != nil && name == set.defaultName {
			return nil, fmt.Errorf("runtime.handlers.%s (the default handler): %w", name, err)
		}
		if err != nil {
			klog.FromContext(ctx).Error(err, "Runtime handler left out; pods that name it will be refused", "handler", name)
			set.leftOut[name] = err
			continue
		}
		set.byName[name] = h
	}
	if set.byName[set.defaultName] == nil {
		return nil, fmt.Errorf("runtime.default_handler: no handler %q is configured: %w", set.defaultName, errdefs.ErrInvalidArgument)
	}
	set.describe()
	return set, nil
}

// LeftOut says in a line for each handler that is configured and not there what it lacks.
func (s *Set) LeftOut() []string {
	var lines []string
	for name, err := range s.leftOut {
		lines = append(lines, fmt.Sprintf("pods of runtime handler %s are refused: %s", name, err))
	}
	sort.Strings(lines)
	return lines
}

func resolve(ctx context.Context, cfg *config.Config, name string, hc config.Handler, node Node) (*Handler, error) {
	if err := Check(name, hc, node.Find, cfg.Containerd.Address == ""); err != nil {
		return nil, err
	}
	h := &Handler{
		Name:        name,
		Snapshotter: hc.Snapshotter,
		Systemd:     node.Systemd,
		Timeout:     hc.Timeout.Duration,
		config:      hc,
		runcRoot:    cfg.Paths().RuncRoot(),
		dirs:        []string{cfg.Root, cfg.State},
		Spec: ocispec.Runtime{
			PrivilegedWithoutHostDevices: hc.PrivilegedWithoutHostDevices,
			PodAnnotations:               hc.PodAnnotations,
			ContainerAnnotations:         hc.ContainerAnnotations,
		},
	}
	if h.Snapshotter == "" {
		h.Snapshotter = cfg.Containerd.Snapshotter
	}
	if err := node.Snapshotter(h.Snapshotter); err != nil {
		return nil, err
	}
	if hc.CgroupDriver != config.CgroupAuto {
		h.Systemd = hc.CgroupDriver == config.CgroupSystemd
	}
	if hc.BaseSpec != "" {
		base, err := readBaseSpec(hc.BaseSpec)
		if err != nil {
			return nil, err
		}
		h.Spec.BaseSpec = base
	}
	if hc.Shim != "" {
		h.Shim, h.Foreign = hc.Shim, true
		h.UserNamespaces = hc.UserNamespaces == config.Yes
		return h, nil
	}
	return h, h.resolveOwn(ctx, node.Find, node.Host)
}

// resolveOwn finds berth-shim and the OCI runtime it drives, and asks that what
// it can do.
func (h *Handler) resolveOwn(ctx context.Context, find *companions.Finder, host *hostinfo.Info) error {
	var err error
	if h.Shim, err = find.Find(companions.Shim); err != nil {
		return err
	}
	if h.Binary, err = find.Find(binaryName(h.Name, h.config)); err != nil {
		return err
	}
	if h.Spec.Features, err = hostinfo.QueryRuntime(ctx, h.Binary, host); err != nil {
		return err
	}
	h.UserNamespaces = h.Spec.Features.UserNamespaces && idmappable(host, h.dirs)
	if h.config.UserNamespaces != config.Auto {
		h.UserNamespaces = h.config.UserNamespaces == config.Yes
	}
	return nil
}

// binaryName is the OCI runtime of a handler with Berth's own shim: a path, or a name to look up.
func binaryName(name string, hc config.Handler) string {
	if hc.Path != "" {
		return hc.Path
	}
	return name
}

// idmappable reports whether everything that a pod with a user namespace mounts can be
// mounted with mapped IDs.
func idmappable(host *hostinfo.Info, dirs []string) bool {
	for _, dir := range dirs {
		if ok, err := host.IDMapSupported(dir); err != nil || !ok {
			return false
		}
	}
	return true
}

// Get finds a handler; "" is the default one. An unknown name is errdefs.ErrInvalidArgument, and a handler
// that was left out at the start errdefs.ErrFailedPrecondition.
func (s *Set) Get(name string) (*Handler, error) {
	if name == "" {
		name = s.defaultName
	}
	if h, ok := s.byName[name]; ok {
		return h, nil
	}
	if lack, ok := s.leftOut[name]; ok {
		return nil, fmt.Errorf("runtime handler %q could not be used when berthd started; mend it and restart berthd: %v: %w",
			name, lack, errdefs.ErrFailedPrecondition)
	}
	names := make([]string, 0, len(s.byName))
	for n := range s.byName {
		names = append(names, n)
	}
	sort.Strings(names)
	return nil, fmt.Errorf("runtime handler %q is not configured; [runtime.handlers] has %q: %w", name, names, errdefs.ErrInvalidArgument)
}

// Snapshotters maps the handlers' names to their snapshotters, "" being the
// default handler.
func (s *Set) Snapshotters() map[string]string {
	out := map[string]string{"": s.byName[s.defaultName].Snapshotter}
	for n, h := range s.byName {
		out[n] = h.Snapshotter
	}
	return out
}

// CRI are the handlers and their features for StatusResponse.runtime_handlers,
// the default one under "" as well.
func (s *Set) CRI() []*runtimeapi.RuntimeHandler { return s.descriptions }

// List are the handlers in the order of their names.
func (s *Set) List() []*Handler {
	out := make([]*Handler, 0, len(s.byName))
	for _, h := range s.byName {
		out = append(out, h)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

func (s *Set) describe() {
	add := func(name string, h *Handler) {
		s.descriptions = append(s.descriptions, &runtimeapi.RuntimeHandler{
			Name: name,
			Features: &runtimeapi.RuntimeHandlerFeatures{
				RecursiveReadOnlyMounts: h.Spec.Features.RecursiveReadOnly,
				UserNamespaces:          h.UserNamespaces,
			},
		})
	}
	add("", s.byName[s.defaultName])
	for _, h := range s.List() {
		add(h.Name, h)
	}
}

// Options is the options message of a task or container of this handler. ioUID
// and ioGID own the pipes of the process: root of its user namespace, else 0.
func (h *Handler) Options(ioUID, ioGID uint32) any {
	if !h.Foreign || h.takesRuncOptions() {
		binary := h.Binary
		if h.Foreign {
			binary = h.config.Options.BinaryName
		}
		return &options.Options{
			BinaryName:    binary,
			Root:          h.runcRoot,
			SystemdCgroup: h.Systemd,
			IoUid:         ioUID,
			IoGid:         ioGID,
		}
	}
	o := h.config.Options
	if o.ConfigPath == "" && o.ConfigBody == "" {
		return nil
	}
	typeURL := o.TypeURL
	if typeURL == "" {
		typeURL = "runtimeoptions.v1.Options"
	}
	return &runtimeoptions.Options{TypeUrl: typeURL, ConfigPath: o.ConfigPath, ConfigBody: []byte(o.ConfigBody)}
}

// TaskOptions is the options message of a create request, nil where the message would
// not be runc's: containerd takes no others there, and gives the shim the options of the container's record.
func (h *Handler) TaskOptions(ioUID, ioGID uint32) any {
	if o, ok := h.Options(ioUID, ioGID).(*options.Options); ok {
		return o
	}
	return nil
}

// takesRuncOptions reports whether a foreign shim is containerd's own for runc, by name or by
// path, or one that is said to take the same options.
func (h *Handler) takesRuncOptions() bool {
	return h.config.Shim == "io.containerd.runc.v2" || filepath.Base(h.config.Shim) == "containerd-shim-runc-v2" ||
		h.config.Options.TypeURL == "containerd.runc.v1.Options"
}

// Root is runc's --root directory for the handler's containers.
func (h *Handler) Root(namespace string) string { return filepath.Join(h.runcRoot, namespace) }

// MarshalOptions encodes Options for a container record; nil when there are none.
func (h *Handler) MarshalOptions() (typeurl.Any, error) {
	o := h.Options(0, 0)
	if o == nil {
		return nil, nil
	}
	return typeurl.MarshalAny(o)
}
