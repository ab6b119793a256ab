// Package copyup copies directories of an image into the volumes of a container.
//
// The source is a read-only view of the image, the destination a directory that only root can reach, so nobody
// changes either meanwhile. Entries are opened one by one below the descriptor of their directory and never through
// a symbolic link. What the copy may take has a bound, memory does not grow with the number of entries in a
// directory, and the context is looked at for each entry and each piece of a file.
package copyup
