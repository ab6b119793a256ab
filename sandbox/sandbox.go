package sandbox

import (
	"slices"
	"sync"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/container/ocispec"
	"github.com/berth-run/berth/internal/handler"
	"github.com/berth-run/berth/internal/index"
	"github.com/berth-run/berth/shim"
)

// Sandbox is one pod. The exported fields never change; everything else is read
// through methods, which never wait for I/O.
type Sandbox struct {
	// ID is 64 hexadecimal digits.
	ID string
	// Config as the client asked for it; not to be changed.
	Config *runtimeapi.PodSandboxConfig
	// Handler runs the pod.
	Handler *handler.Handler
	// HandlerName is what the request called it, "" for the default.
	HandlerName string
	// CreatedAt is when the request came.
	CreatedAt time.Time
	// CgroupParent is the pod's cgroup in the form of the driver in use.
	CgroupParent string

	ownCgroup bool

	// writing serialises writers of the record; it is held over I/O, and no read
	// takes it.
	writing sync.Mutex

	mu      sync.RWMutex
	record  Record
	hidden  bool          // being created or removed: not listed
	stopped bool          // Stop has begun: no new containers
	shim    *shim.Process // nil for foreign shims, and after the stop
	initPID uint32        // pid 1 of a shared PID namespace, 0 without one

	listed index.Cached // how lists show it
}

// Phase is where the sandbox is in its life.
func (s *Sandbox) Phase() Phase {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.record.Phase
}

// Ready says whether containers can be made in the pod.
func (s *Sandbox) Ready() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.record.Phase == Ready && !s.stopped
}

// IPs of the pod, the primary one first; none for host network.
func (s *Sandbox) IPs() []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Clone(s.record.IPs)
}

// Interface is the name of the pod's main network interface.
func (s *Sandbox) Interface() string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.record.Interface
}

// Shim is the pod's shim, nil when there is none at the moment.
func (s *Sandbox) Shim() *shim.Process {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.shim
}

// InitPID is process 1 of the pod's shared PID namespace, 0 when it has none.
func (s *Sandbox) InitPID() uint32 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.initPID
}

// Labels returns the SELinux labels of the pod.
func (s *Sandbox) Labels() (process, mount string) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.record.ProcessLabel, s.record.MountLabel
}

// namespaceOptions of the request, never nil.
func (s *Sandbox) namespaceOptions() *runtimeapi.NamespaceOption {
	if o := s.Config.GetLinux().GetSecurityContext().GetNamespaceOptions(); o != nil {
		return o
	}
	return &runtimeapi.NamespaceOption{}
}

// HostNetwork says that the pod lives in the host's network.
func (s *Sandbox) HostNetwork() bool {
	return s.namespaceOptions().GetNetwork() == runtimeapi.NamespaceMode_NODE
}

// HostIPC says that the pod shares the host's IPC namespace.
func (s *Sandbox) HostIPC() bool {
	return s.namespaceOptions().GetIpc() == runtimeapi.NamespaceMode_NODE
}

// UserNamespace is the mapping of the pod's user namespace, nil without one.
func (s *Sandbox) UserNamespace() *runtimeapi.UserNamespace {
	if u := s.namespaceOptions().GetUsernsOptions(); u.GetMode() == runtimeapi.NamespaceMode_POD && u != nil {
		return u
	}
	return nil
}

// needsInit says that the pod has a process of its own: the first one of a
// shared PID namespace, or what a VM runtime makes its VM for.
func (s *Sandbox) needsInit() bool {
	return s.Handler.Foreign || s.namespaceOptions().GetPid() == runtimeapi.NamespaceMode_POD
}

// set changes the in-memory state under the lock.
func (s *Sandbox) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// Namespaces are the paths a container of the pod joins.
func (m *Manager) Namespaces(s *Sandbox) ocispec.Namespaces {
	var n ocispec.Namespaces
	if !s.HostNetwork() {
		n.Net = m.paths.PodNamespace(s.ID, "net")
		n.UTS = m.paths.PodNamespace(s.ID, "uts")
	}
	if !s.HostIPC() {
		n.IPC = m.paths.PodNamespace(s.ID, "ipc")
	}
	if s.UserNamespace() != nil {
		n.User = m.paths.PodNamespace(s.ID, "user")
	}
	if pid := s.InitPID(); pid != 0 && !s.Handler.Foreign {
		n.PID = procNamespace(pid, "pid")
	}
	return n
}
