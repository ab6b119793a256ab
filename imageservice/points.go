package imageservice

import "context"

// boundary is a place between two effects of a pull or a removal, where a test can
// break the daemon (package failpoint).
type boundary int

const (
	pullResolved boundary = iota
	pullLeased
	pullBlobWritten
	pullBlobStored
	pullLayerApplied
	pullFetched
	pullRecorded
	pullReleased
	removeBegun
	removeRecorded
	removeUnreferenced
	removeCollected
	boundaries // their number
)

var boundaryNames = [boundaries]string{
	pullResolved:       "PullImage/resolved",
	pullLeased:         "PullImage/leased",
	pullBlobWritten:    "PullImage/blob-written",
	pullBlobStored:     "PullImage/blob-stored",
	pullLayerApplied:   "PullImage/layer-applied",
	pullFetched:        "PullImage/fetched",
	pullRecorded:       "PullImage/recorded",
	pullReleased:       "PullImage/released",
	removeBegun:        "RemoveImage/begun",
	removeRecorded:     "RemoveImage/record-deleted",
	removeUnreferenced: "RemoveImage/unreferenced",
	removeCollected:    "RemoveImage/collected",
}

// Failpoints names the failpoints of pulls and removals.
func Failpoints() []string { return append([]string(nil), boundaryNames[:]...) }

// reached hits the failpoint of a boundary.
func (s *Service) reached(ctx context.Context, b boundary) error {
	return s.opts.Failpoints.Hit(ctx, boundaryNames[b])
}
