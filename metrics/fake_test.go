package metrics

import (
	"sync"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// listSource is a Source of fixed lists, which a test may swap.
type listSource struct {
	mu   sync.Mutex
	pods []PodRef
	ctrs []ContainerRef
}

func (l *listSource) Pods() []PodRef {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pods
}

func (l *listSource) Containers() []ContainerRef {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ctrs
}

func (l *listSource) States(pods, containers []State) (_, _ []State) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.pods {
		pods = append(pods, State{l.pods[i].ID, int32(l.pods[i].State)})
	}
	for i := range l.ctrs {
		containers = append(containers, State{l.ctrs[i].ID, int32(l.ctrs[i].State)})
	}
	return pods, containers
}

func (l *listSource) set(pods []PodRef, ctrs []ContainerRef) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pods, l.ctrs = pods, ctrs
}

func testPod(id, cgroupParent string) PodRef {
	return PodRef{
		ID: id, CgroupParent: cgroupParent, State: runtimeapi.PodSandboxState_SANDBOX_READY,
		Metadata: &runtimeapi.PodSandboxMetadata{Name: "pod-" + id, Namespace: "default", Uid: "uid-" + id},
		Labels:   map[string]string{"app": id},
	}
}

func testContainer(id, pod, cgroupPath string) ContainerRef {
	return ContainerRef{
		ID: id, PodID: pod, CgroupPath: cgroupPath, State: runtimeapi.ContainerState_CONTAINER_RUNNING,
		Metadata: &runtimeapi.ContainerMetadata{Name: "ctr-" + id}, Image: "img",
		Labels: map[string]string{"ctr": id}, Snapshotter: "overlayfs", SnapshotKey: id,
	}
}
