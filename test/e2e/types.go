package e2e

import (
	"context"
	"fmt"
	"strings"
)

// Pod is the part of a v1.Pod that the tests look at.
type Pod struct {
	Metadata struct{ Name, UID string }
	Status   struct {
		Phase, PodIP string
		PodIPs       []struct{ IP string }
		Conditions   []struct{ Type, Status string }

		InitContainerStatuses []ContainerStatus
		ContainerStatuses     []ContainerStatus
	}
}

// ContainerStatus is the part of a v1.ContainerStatus that the tests look at.
type ContainerStatus struct {
	Name, ContainerID string
	Ready             bool
	RestartCount      int
	State, LastState  ContainerState
	Image, ImageID    string
}

// ContainerState has one of its fields set.
type ContainerState struct {
	Waiting    *struct{ Reason, Message string }
	Running    *struct{ StartedAt string }
	Terminated *Terminated
}

// Terminated is the end of a container.
type Terminated struct {
	ExitCode, Signal int
	Reason, Message  string
}

// Ready reports whether the pod's condition of that name is true.
func (p *Pod) Ready() bool {
	for _, c := range p.Status.Conditions {
		if c.Type == "Ready" {
			return c.Status == "True"
		}
	}
	return false
}

// Container returns the status of a container, or one without a name.
func (p *Pod) Container(name string) ContainerStatus {
	for _, c := range append(p.Status.ContainerStatuses, p.Status.InitContainerStatuses...) {
		if c.Name == name {
			return c
		}
	}
	return ContainerStatus{}
}

// Pods returns all pods that the kubelet has.
func (c *Client) Pods(ctx context.Context) ([]Pod, error) {
	var list struct{ Items []Pod }
	err := c.getJSON(ctx, "/pods", &list)
	return list.Items, err
}

// Pod returns the static pod of that name.
func (c *Client) Pod(ctx context.Context, name string) (*Pod, error) {
	pods, err := c.Pods(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range pods {
		if p.Metadata.Name == name+"-"+nodeName {
			return &p, nil
		}
	}
	return nil, fmt.Errorf("the kubelet has no pod %s", name)
}

// PodStats is the part of /stats/summary about one pod.
type PodStats struct {
	PodRef  struct{ Name string }
	Network *struct {
		Name             string
		RxBytes, TxBytes uint64
	}
	CPU        *struct{ UsageCoreNanoSeconds uint64 }
	Memory     *struct{ WorkingSetBytes uint64 }
	Containers []struct {
		Name   string
		CPU    *struct{ UsageCoreNanoSeconds uint64 }
		Memory *struct{ WorkingSetBytes uint64 }
		Rootfs *struct{ UsedBytes uint64 }
		Logs   *struct{ UsedBytes uint64 }
	}
}

// Stats returns the figures of a pod from /stats/summary.
func (c *Client) Stats(ctx context.Context, pod string) (*PodStats, error) {
	var summary struct{ Pods []PodStats }
	if err := c.getJSON(ctx, "/stats/summary", &summary); err != nil {
		return nil, err
	}
	for _, s := range summary.Pods {
		if strings.TrimSuffix(s.PodRef.Name, "-"+nodeName) == pod {
			return &s, nil
		}
	}
	return nil, fmt.Errorf("/stats/summary has no pod %s", pod)
}
