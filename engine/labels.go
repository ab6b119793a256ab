package engine

// Labels by which Berth knows what it has made among containerd's objects. berthd doctor removes only
// what carries one.
const (
	// LabelPrefix begins the name of each of Berth's labels.
	LabelPrefix = "berth.run/"
	// SnapshotLabel marks the writable layer of a container; its value is the container's ID.
	SnapshotLabel = LabelPrefix + "container"
)
