// Package inside opens directories of a tree whose content is foreign: a layer, a volume, the root of
// a container.
//
// A path into such a tree must not be given to the kernel as it is: each of its components may be a
// symbolic link that leads to any place of the host, also one that was a directory a moment ago.
// This package resolves a path with openat2(2) from a descriptor of the tree's top, and the kernel
// itself refuses to leave the tree. What is done then is done to the descriptor that was opened,
// never to the path again.
package inside
