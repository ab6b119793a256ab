package container

import (
	"fmt"
	"path/filepath"
	"sync"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/internal/index"
	"github.com/berth-run/berth/sandbox"
)

// Container is one container. The exported fields never change; everything else
// is read through methods, which never wait for I/O.
type Container struct {
	// ID is 64 hexadecimal digits.
	ID string
	// Pod the container belongs to.
	Pod *sandbox.Sandbox
	// Config as the client asked for it; not to be changed.
	Config *runtimeapi.ContainerConfig
	// CreatedAt is when the request came.
	CreatedAt time.Time
	// CgroupsPath is the OCI linux.cgroupsPath.
	CgroupsPath string
	// Snapshotter holds the writable layer, a snapshot named by the ID.
	Snapshotter string

	// turn is held by who changes what the container runs: start, update, the
	// clean-up after an exit, remove. A channel, so that waiting can be given up.
	turn chan struct{}
	// writing serialises writers of the record; it is held over I/O, and no read
	// takes it.
	writing sync.Mutex
	// announcing serialises transitions and their events.
	announcing sync.Mutex

	mu        sync.RWMutex
	record    Record
	hidden    bool // being created or removed: not listed
	failed    bool // could be neither made nor undone
	running   bool
	pid       uint32
	startedAt time.Time
	exited    chan struct{} // closed when it has ended; nil until it is started
	cleaned   chan struct{} // closed when nothing of the ended process is left
	stop      *stopper      // the Stop under way
	inherited bool          // made by a former daemon, whose Start may have been cut off
	foreign   *foreignIO    // streams of a container with a foreign shim

	listed index.Cached // how lists show it
}

func newContainer(id string, pod *sandbox.Sandbox, config *runtimeapi.ContainerConfig, r Record) *Container {
	return &Container{
		ID:          id,
		Pod:         pod,
		Config:      config,
		CreatedAt:   r.CreatedAt,
		Snapshotter: pod.Handler.Snapshotter,
		turn:        make(chan struct{}, 1),
		record:      r,
	}
}

// Name describes the container in messages.
func (c *Container) Name() string {
	pod := c.Pod.Config.GetMetadata()
	return fmt.Sprintf("container %s (attempt %d) of pod %s/%s", c.Config.GetMetadata().GetName(),
		c.Config.GetMetadata().GetAttempt(), pod.GetNamespace(), pod.GetName())
}

// State in the words of the CRI.
func (c *Container) State() runtimeapi.ContainerState {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.state()
}

func (c *Container) state() runtimeapi.ContainerState {
	switch {
	case c.record.Phase == Exited:
		return runtimeapi.ContainerState_CONTAINER_EXITED
	case c.running:
		return runtimeapi.ContainerState_CONTAINER_RUNNING
	}
	return runtimeapi.ContainerState_CONTAINER_CREATED
}

// PID of the container's first process on the host, 0 when it does not run.
func (c *Container) PID() uint32 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if !c.running {
		return 0
	}
	return c.pid
}

// StartedAt is when the container was started, zero when it was not.
func (c *Container) StartedAt() time.Time {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.startedAt
}

// Resources in force.
func (c *Container) Resources() *runtimeapi.LinuxContainerResources {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.record.Resources
}

// ImageID is the image the container was made from.
func (c *Container) ImageID() string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.record.ImageID
}

// LogPath is the absolute path of the log file, empty when nothing is logged.
func (c *Container) LogPath() string {
	dir, file := c.Pod.Config.GetLogDirectory(), c.Config.GetLogPath()
	if dir == "" || file == "" {
		return ""
	}
	return filepath.Join(dir, file)
}

// logRoot is the directory that the log stays below, empty when nothing is logged.
func (c *Container) logRoot() string {
	if c.LogPath() == "" {
		return ""
	}
	return filepath.Clean(c.Pod.Config.GetLogDirectory())
}

func (c *Container) isHidden() bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.hidden
}

// halfMade says that the container could be neither made nor undone.
func (c *Container) halfMade() bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.failed || c.record.Phase == Creating
}

func (c *Container) set(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
}
