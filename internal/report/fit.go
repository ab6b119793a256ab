package report

import (
	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Fit cuts off the metadata in a message of the CRI until the message takes at most room bytes, and
// returns its size then. A message that fits is not touched. Maps and image specifications of the
// message may be shared with others: they are replaced, not changed. A message whose other fields
// alone take more than room stays larger; of an image names are left out, and of an event the
// mounts of containers.
func Fit(m proto.Message, room int) int {
	size := proto.Size(m)
	if size <= room {
		return size
	}
	maps := metadataOf(m)
	shorten(room-sizeWithout(m, maps), maps...)
	if size = proto.Size(m); size <= room {
		return size
	}
	leaveOut(m, size-room)
	return proto.Size(m)
}

// sizeWithout is the size of a message that has none of these maps, and a little more for the lengths
// of what surrounds them.
func sizeWithout(m proto.Message, maps []*map[string]string) int {
	kept := make([]map[string]string, len(maps))
	for i, one := range maps {
		kept[i], *one = *one, nil
	}
	size := proto.Size(m)
	for i, one := range maps {
		*one = kept[i]
	}
	return size + entryCost*(1+len(maps))
}

// metadataOf finds the maps of labels and annotations in a message.
func metadataOf(m proto.Message) (maps []*map[string]string) {
	switch m := m.(type) {
	case *runtimeapi.PodSandbox:
		maps = append(maps, &m.Labels, &m.Annotations)
	case *runtimeapi.Container:
		maps = append(maps, &m.Labels, &m.Annotations)
		maps = append(maps, ofImage(&m.Image)...)
	case *runtimeapi.ContainerStats:
		maps = ofContainerStats(m)
	case *runtimeapi.PodSandboxStats:
		if a := m.Attributes; a != nil {
			maps = append(maps, &a.Labels, &a.Annotations)
		}
		for _, c := range m.GetLinux().GetContainers() {
			maps = append(maps, ofContainerStats(c)...)
		}
	case *runtimeapi.Image:
		maps = ofImage(&m.Spec)
	case *runtimeapi.ContainerEventResponse:
		maps = ofStatuses(m.PodSandboxStatus, m.ContainersStatuses)
	case *runtimeapi.PodSandboxStatusResponse:
		maps = ofStatuses(m.Status, m.ContainersStatuses)
	}
	return maps
}

func ofContainerStats(s *runtimeapi.ContainerStats) []*map[string]string {
	if s.Attributes == nil {
		return nil
	}
	return []*map[string]string{&s.Attributes.Labels, &s.Attributes.Annotations}
}

// ofImage gives a specification without annotations no map, so that it stays shared.
func ofImage(spec **runtimeapi.ImageSpec) []*map[string]string {
	if len((*spec).GetAnnotations()) == 0 {
		return nil
	}
	own := *spec
	*spec = &runtimeapi.ImageSpec{
		Image: own.Image, Annotations: own.Annotations, UserSpecifiedImage: own.UserSpecifiedImage, RuntimeHandler: own.RuntimeHandler,
	}
	return []*map[string]string{&(*spec).Annotations}
}

func ofStatuses(pod *runtimeapi.PodSandboxStatus, containers []*runtimeapi.ContainerStatus) (maps []*map[string]string) {
	if pod != nil {
		maps = append(maps, &pod.Labels, &pod.Annotations)
	}
	for _, c := range containers {
		maps = append(maps, &c.Labels, &c.Annotations)
		maps = append(maps, ofImage(&c.Image)...)
	}
	return maps
}

// leaveOut drops what a client can do without, where it can take excess bytes.
func leaveOut(m proto.Message, excess int) {
	switch m := m.(type) {
	case *runtimeapi.Image:
		m.RepoDigests, excess = fewer(m.RepoDigests, excess)
		m.RepoTags, _ = fewer(m.RepoTags, excess)
	case *runtimeapi.ContainerEventResponse:
		withoutMounts(m.ContainersStatuses)
	case *runtimeapi.PodSandboxStatusResponse:
		withoutMounts(m.ContainersStatuses)
	}
}

// fewer drops names from the end, the first one never, until they have given excess bytes. It
// returns what is left of both.
func fewer(names []string, excess int) ([]string, int) {
	for len(names) > 1 && excess > 0 {
		excess -= len(names[len(names)-1]) + 1
		names = names[:len(names)-1]
	}
	return names, excess
}

func withoutMounts(containers []*runtimeapi.ContainerStatus) {
	for _, c := range containers {
		c.Mounts = nil
	}
}
