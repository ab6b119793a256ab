package cri

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/imageservice"
	"github.com/berth-run/berth/internal/budget"
	"github.com/berth-run/berth/internal/index"
	"github.com/berth-run/berth/internal/report"
)

// ListImages implements the RPC.
func (i *Images) ListImages(_ context.Context, r *runtimeapi.ListImagesRequest) (*runtimeapi.ListImagesResponse, error) {
	resp := &runtimeapi.ListImagesResponse{Images: i.list(r.GetFilter())}
	return resp, fitImages(resp)
}

// fitImages cuts off the metadata of the largest images where a list is longer than a message
// may be. Errors as of fillUnary.
func fitImages(resp *runtimeapi.ListImagesResponse) error {
	size := proto.Size(resp)
	if size <= budget.Message {
		return nil
	}
	lengths := make([]int, len(resp.Images))
	for n, img := range resp.Images {
		lengths[n] = imageSize(img)
	}
	level := report.Level(lengths, budget.Message)
	for _, img := range resp.Images {
		report.Fit(img, level-index.Overhead)
	}
	if size = proto.Size(resp); size > budget.Message {
		return tooLong(len(resp.Images), size, "StreamImages")
	}
	return nil
}

// StreamImages implements the RPC (KEP-5825).
func (i *Images) StreamImages(r *runtimeapi.StreamImagesRequest, s grpc.ServerStreamingServer[runtimeapi.StreamImagesResponse]) error {
	return sendChunks(i.list(r.GetFilter()), imageSize, func(items []*runtimeapi.Image) (*runtimeapi.StreamImagesResponse, error) {
		for _, img := range items {
			report.Fit(img, budget.StreamMessage-index.Overhead)
		}
		return &runtimeapi.StreamImagesResponse{Images: items}, nil
	}, s.Send)
}

// imageSize is what an image takes in a list, in bytes.
func imageSize(img *runtimeapi.Image) int { return proto.Size(img) + index.Overhead }

func (i *Images) list(f *runtimeapi.ImageFilter) []*runtimeapi.Image {
	found := i.images.List(f)
	out := make([]*runtimeapi.Image, 0, len(found))
	for _, img := range found {
		out = append(out, reported(img))
	}
	return out
}

// reported is an image in the words of the CRI, with bounded annotations.
func reported(img *imageservice.Image) *runtimeapi.Image {
	out := img.CRI()
	out.Spec.Annotations = report.Annotations(out.Spec.Annotations)
	return out
}

// ImageStatus implements the RPC: an image that is not there is an empty answer.
func (i *Images) ImageStatus(ctx context.Context, r *runtimeapi.ImageStatusRequest) (*runtimeapi.ImageStatusResponse, error) {
	if r.GetImage().GetImage() == "" {
		return nil, fmt.Errorf("image is missing: %w", errdefs.ErrInvalidArgument)
	}
	img, err := i.images.Status(r.GetImage().GetImage())
	if errdefs.IsNotFound(err) {
		return &runtimeapi.ImageStatusResponse{}, nil
	}
	if err != nil {
		return nil, err
	}
	resp := &runtimeapi.ImageStatusResponse{Image: reported(img)}
	if r.GetVerbose() {
		resp.Info, err = i.images.VerboseInfo(ctx, img)
	}
	return resp, err
}

// PullImage implements the RPC.
func (i *Images) PullImage(ctx context.Context, r *runtimeapi.PullImageRequest) (*runtimeapi.PullImageResponse, error) {
	id, err := i.images.Pull(ctx, r.GetImage(), r.GetAuth(), r.GetSandboxConfig())
	if err != nil {
		return nil, err
	}
	return &runtimeapi.PullImageResponse{ImageRef: id}, nil
}

// RemoveImage implements the RPC.
func (i *Images) RemoveImage(ctx context.Context, r *runtimeapi.RemoveImageRequest) (*runtimeapi.RemoveImageResponse, error) {
	if r.GetImage().GetImage() == "" {
		return nil, fmt.Errorf("image is missing: %w", errdefs.ErrInvalidArgument)
	}
	return &runtimeapi.RemoveImageResponse{}, i.images.Remove(ctx, r.GetImage().GetImage())
}

// ImageFsInfo implements the RPC.
func (i *Images) ImageFsInfo(ctx context.Context, _ *runtimeapi.ImageFsInfoRequest) (*runtimeapi.ImageFsInfoResponse, error) {
	info, err := i.images.FsInfo(ctx)
	if err != nil {
		return nil, err
	}
	return &runtimeapi.ImageFsInfoResponse{
		ImageFilesystems:     []*runtimeapi.FilesystemUsage{usage(info.Images)},
		ContainerFilesystems: []*runtimeapi.FilesystemUsage{usage(info.Containers)},
	}, nil
}

func usage(u imageservice.FilesystemUsage) *runtimeapi.FilesystemUsage {
	return &runtimeapi.FilesystemUsage{
		Timestamp:  u.Timestamp.UnixNano(),
		FsId:       &runtimeapi.FilesystemIdentifier{Mountpoint: u.Mountpoint},
		UsedBytes:  &runtimeapi.UInt64Value{Value: u.UsedBytes},
		InodesUsed: &runtimeapi.UInt64Value{Value: u.InodesUsed},
	}
}
