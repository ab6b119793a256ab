// Package copyup fills the volumes that an image declares (VOLUME) with what the image has at their places.
//
// A directory of the image is copied once for a container. Two volumes that are links to the same directory
// share one copy, which is what the container would see in any case: their mounts are at the same place. The copy
// of a volume leaves out what another volume covers. What is left is copied again, within
// budget.VolumeBytes.
//
// The source is a read-only view of the image, the destination a directory that only root can reach, so nobody
// changes either meanwhile. Entries are opened one by one below the descriptor of their directory and never through
// a symbolic link. Memory does not grow with the number of entries in a directory, and the context is looked at for
// each entry and each piece of a file.
package copyup
