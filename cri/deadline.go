package cri

import (
	"context"
	"time"

	"google.golang.org/grpc"
)

// A call is given up a little before its caller's deadline: a twentieth of the call's time before, and answerTime at
// most. An answer that is made at the deadline itself comes too late: the caller reads "deadline exceeded" instead of
// what the node is doing.
const (
	answerShare = 20
	answerTime  = 250 * time.Millisecond
)

// answerInTime gives a call less time than its caller waits, so that the error can tell what was under way.
func answerInTime(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return handler(ctx, req)
	}
	ctx, cancel := context.WithDeadline(ctx, deadline.Add(-min(time.Until(deadline)/answerShare, answerTime)))
	defer cancel()
	return handler(ctx, req)
}
