package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/berth-run/berth/internal/underway"
)

// statusTimeout bounds the wait for a daemon's status, which it answers from memory.
const statusTimeout = 5 * time.Second

// askHanging asks the daemon at a CRI socket which of its operations hang.
func askHanging(ctx context.Context, socket string) ([]underway.Operation, error) {
	conn, err := grpc.NewClient("unix://"+strings.TrimPrefix(socket, "unix://"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	resp, err := runtimeapi.NewRuntimeServiceClient(conn).Status(ctx, &runtimeapi.StatusRequest{Verbose: true})
	if err != nil {
		return nil, fmt.Errorf("berthd does not answer at %s: %w", socket, err)
	}
	raw, ok := resp.GetInfo()["hanging"]
	if !ok {
		return nil, nil // a daemon of an older version
	}
	var list struct{ Items []underway.Operation }
	if err := json.Unmarshal([]byte(raw), &list); err != nil {
		return nil, fmt.Errorf("read what berthd at %s says of its operations: %w", socket, err)
	}
	return list.Items, nil
}
