// Package imageservice is the domain behind the CRI ImageService: it pulls,
// lists, describes and removes images, unpacks them into snapshots and knows
// how much disk they take.
//
// containerd's image store is the only database. The package keeps an index of
// it in memory, built by [Service.Recover] and kept up to date by containerd's
// image events, so images that `ctr -n k8s.io images import` or `rm` brings or
// takes are seen too. [Service.List], [Service.Status] and [Service.Resolve]
// answer from that index and never do I/O.
//
// A pull is described by what it is, not by who asked: callers that ask for the
// same reference with the same credentials join one pull, which goes on as long
// as one of them waits for it. Everything a pull writes is held by a lease; the
// image records are written last, and the lease is given back in every case, so
// that a pull that failed leaves nothing that containerd's garbage collector
// would keep.
//
// The identity of an image is the digest of its configuration for this node's
// platform, "sha256:<64 hex>", as the CRI wants one value for Image.id,
// Container.image_id, ContainerStatus.image_id and PullImageResponse.image_ref.
package imageservice
