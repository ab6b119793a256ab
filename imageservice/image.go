package imageservice

import (
	"slices"

	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/internal/budget"
)

// Image is what the node knows of one image: one configuration digest with all
// the names that lead to it. Values are immutable; a change makes a new one.
type Image struct {
	// ID is the digest of the image configuration, "sha256:<64 hex>".
	ID string
	// RepoTags are the full names with a tag, "docker.io/library/busybox:1",
	// sorted.
	RepoTags []string
	// RepoDigests are the full names with the digest of the target, sorted.
	RepoDigests []string
	// Names are the names of the containerd image records that lead here, sorted.
	Names []string
	// Target is the descriptor the record holds: an index or a manifest.
	Target ocispec.Descriptor
	// Manifest is the descriptor of the manifest chosen for this platform.
	Manifest ocispec.Descriptor
	// Layers are the descriptors of the compressed layers, bottom first.
	Layers []ocispec.Descriptor
	// Size is the sum of manifest, configuration and compressed layers in bytes.
	Size uint64
	// Config is what containers need of the image configuration (OCI image-spec, "Image
	// Configuration"): platform, layers, user, environment, command, volumes, working
	// directory and stop signal.
	Config ocispec.Image
	// ConfigSize is the size of the whole configuration in bytes.
	ConfigSize int64
	// ChainID names the snapshot of the top layer; empty for an image without layers.
	ChainID string
	// Pinned asks the kubelet not to garbage collect the image.
	Pinned bool
	// Annotations of the manifest, for Image.spec.annotations.
	Annotations map[string]string
}

// Name is the containerd image record to put into a container record: a tag
// when there is one, else a digest, else whatever record exists.
func (i *Image) Name() string {
	for _, names := range [][]string{i.RepoTags, i.RepoDigests, i.Names} {
		if len(names) > 0 {
			return names[0]
		}
	}
	return i.ID
}

// NameFor is the name to show for a container of this image: the reference in the pod's spec
// (ImageSpec.user_specified_image) or in the request, where the image has this tag, else [Image.Name].
func (i *Image) NameFor(spec *runtimeapi.ImageSpec) string {
	for _, ref := range []string{spec.GetUserSpecifiedImage(), spec.GetImage()} {
		named, err := reference.ParseDockerRef(ref)
		if err == nil && slices.Contains(i.RepoTags, named.String()) {
			return named.String()
		}
	}
	return i.Name()
}

// User gives Image.uid and Image.username of the CRI: uid is nil when the
// configuration names the user by name, or names none (both are empty then,
// which the kubelet takes for root).
func (i *Image) User() (uid *int64, username string) {
	return userOf(i.Config.Config.User)
}

// CRI translates the image into the CRI's message.
func (i *Image) CRI() *runtimeapi.Image {
	out := &runtimeapi.Image{
		Id:          i.ID,
		RepoTags:    reported(i.RepoTags),
		RepoDigests: reported(i.RepoDigests),
		Size:        i.Size,
		Pinned:      i.Pinned,
		Spec:        &runtimeapi.ImageSpec{Image: i.ID, Annotations: i.Annotations},
	}
	uid, name := i.User()
	if uid != nil {
		out.Uid = &runtimeapi.Int64Value{Value: *uid}
	}
	out.Username = name
	return out
}

// reported are as many names as are shown of one image.
func reported(names []string) []string { return names[:min(len(names), budget.ReportedNames)] }
