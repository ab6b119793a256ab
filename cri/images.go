package cri

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
	"google.golang.org/grpc"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/imageservice"
)

// ListImages implements the RPC.
func (i *Images) ListImages(_ context.Context, r *runtimeapi.ListImagesRequest) (*runtimeapi.ListImagesResponse, error) {
	return &runtimeapi.ListImagesResponse{Images: i.list(r.GetFilter())}, nil
}

// StreamImages implements the RPC (KEP-5825).
func (i *Images) StreamImages(r *runtimeapi.StreamImagesRequest, s grpc.ServerStreamingServer[runtimeapi.StreamImagesResponse]) error {
	return sendChunks(i.list(r.GetFilter()), func(items []*runtimeapi.Image) *runtimeapi.StreamImagesResponse {
		return &runtimeapi.StreamImagesResponse{Images: items}
	}, s.Send)
}

func (i *Images) list(f *runtimeapi.ImageFilter) []*runtimeapi.Image {
	found := i.images.List(f)
	out := make([]*runtimeapi.Image, 0, len(found))
	for _, img := range found {
		out = append(out, img.CRI())
	}
	return out
}

// ImageStatus implements the RPC: an image that is not there is an empty answer.
func (i *Images) ImageStatus(_ context.Context, r *runtimeapi.ImageStatusRequest) (*runtimeapi.ImageStatusResponse, error) {
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
	resp := &runtimeapi.ImageStatusResponse{Image: img.CRI()}
	if r.GetVerbose() {
		resp.Info, err = i.images.VerboseInfo(img)
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
