package container

import (
	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// imageName is the image's reference as a person knows it: a tag where there is one, that of
// the pod's spec if possible. The kubelet creates containers by the image's ID. In records of
// former versions, which do not have it, it is what the request named.
func (c *Container) imageName() string {
	if c.record.ImageName != "" {
		return c.record.ImageName
	}
	return c.Config.GetImage().GetImage()
}

// imageSpec is the image as lists, status and events report it (CRI Container.image and
// ContainerStatus.image): that of the request, under the name that a person knows.
func (c *Container) imageSpec() *runtimeapi.ImageSpec {
	asked := c.Config.GetImage()
	if asked.GetImage() == c.imageName() {
		return asked
	}
	spec, ok := proto.Clone(asked).(*runtimeapi.ImageSpec)
	if !ok || spec == nil {
		return asked
	}
	spec.Image = c.imageName()
	return spec
}
