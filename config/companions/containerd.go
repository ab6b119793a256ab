package companions

import (
	"context"

	versionapi "github.com/containerd/containerd/api/services/version/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
)

// Containerd asks the containerd behind a socket for its version.
func Containerd(ctx context.Context, address string) Version {
	v := Version{Name: "containerd (external)", Path: address}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	conn, err := grpc.NewClient("unix://"+address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		v.Missing = err.Error()
		return v
	}
	defer conn.Close()
	answer, err := versionapi.NewVersionClient(conn).Version(ctx, &emptypb.Empty{})
	if err != nil {
		v.Missing = "does not answer: " + status.Convert(err).Message()
		return v
	}
	v.Version = answer.GetVersion()
	return v
}
