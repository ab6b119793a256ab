package ocispec

import (
	"maps"
	"path"
	"strconv"
	"strings"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Annotations of OCI specs by which VM runtimes (Kata), gVisor and NRI plugins
// know pods and containers. The names are those that containerd made the custom.
const (
	AnnotationContainerType    = "io.kubernetes.cri.container-type"
	AnnotationContainerName    = "io.kubernetes.cri.container-name"
	AnnotationImageName        = "io.kubernetes.cri.image-name"
	AnnotationSandboxID        = "io.kubernetes.cri.sandbox-id"
	AnnotationSandboxName      = "io.kubernetes.cri.sandbox-name"
	AnnotationSandboxNamespace = "io.kubernetes.cri.sandbox-namespace"
	AnnotationSandboxUID       = "io.kubernetes.cri.sandbox-uid"
	AnnotationSandboxLogDir    = "io.kubernetes.cri.sandbox-log-directory"
	AnnotationSandboxCPUPeriod = "io.kubernetes.cri.sandbox-cpu-period"
	AnnotationSandboxCPUQuota  = "io.kubernetes.cri.sandbox-cpu-quota"
	AnnotationSandboxCPUShares = "io.kubernetes.cri.sandbox-cpu-shares"
	AnnotationSandboxMemory    = "io.kubernetes.cri.sandbox-memory"

	// ContainerTypeSandbox and ContainerTypeContainer are values of AnnotationContainerType.
	ContainerTypeSandbox   = "sandbox"
	ContainerTypeContainer = "container"
)

// annotations sets what others know the container by, after those of the pod
// and the container that the handler's configuration lets through.
func (b *builder) annotations() error {
	a := map[string]string{}
	maps.Copy(a, b.s.Annotations)
	pass(a, b.in.Sandbox.Config.GetAnnotations(), b.in.Runtime.PodAnnotations)
	pass(a, b.in.Config.GetAnnotations(), b.in.Runtime.ContainerAnnotations)
	maps.Copy(a, podAnnotations(b.in.Sandbox.ID, b.in.Sandbox.Config))
	a[AnnotationContainerType] = ContainerTypeContainer
	a[AnnotationContainerName] = b.in.Config.GetMetadata().GetName()
	if b.in.Image.Name != "" {
		a[AnnotationImageName] = b.in.Image.Name
	}
	b.s.Annotations = a
	return nil
}

// SandboxAnnotations are the annotations of the spec of a pod's own container,
// for handlers that have one: what it is, and how large a VM has to be. They
// include the pod's annotations that r lets through.
func SandboxAnnotations(id string, pod *runtimeapi.PodSandboxConfig, r Runtime) map[string]string {
	a := map[string]string{}
	pass(a, pod.GetAnnotations(), r.PodAnnotations)
	maps.Copy(a, podAnnotations(id, pod))
	a[AnnotationContainerType] = ContainerTypeSandbox
	a[AnnotationSandboxLogDir] = pod.GetLogDirectory()
	res := pod.GetLinux().GetResources()
	a[AnnotationSandboxCPUPeriod] = strconv.FormatInt(res.GetCpuPeriod(), 10)
	a[AnnotationSandboxCPUQuota] = strconv.FormatInt(res.GetCpuQuota(), 10)
	a[AnnotationSandboxCPUShares] = strconv.FormatInt(res.GetCpuShares(), 10)
	a[AnnotationSandboxMemory] = strconv.FormatInt(res.GetMemoryLimitInBytes(), 10)
	return a
}

func podAnnotations(id string, pod *runtimeapi.PodSandboxConfig) map[string]string {
	return map[string]string{
		AnnotationSandboxID:        id,
		AnnotationSandboxName:      pod.GetMetadata().GetName(),
		AnnotationSandboxNamespace: pod.GetMetadata().GetNamespace(),
		AnnotationSandboxUID:       pod.GetMetadata().GetUid(),
	}
}

// pass copies those annotations whose keys match a pattern.
func pass(dst, src map[string]string, patterns []string) {
	for k, v := range src {
		for _, p := range patterns {
			if matches(p, k) {
				dst[k] = v
			}
		}
	}
}

// matches is path.Match, but a trailing * also matches slashes.
func matches(pattern, key string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok && !strings.ContainsAny(prefix, `*?[\`) {
		return strings.HasPrefix(key, prefix)
	}
	ok, err := path.Match(pattern, key)
	return err == nil && ok
}
