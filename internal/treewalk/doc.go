// Package treewalk goes through a directory whose content belongs to a container, however deep and large it is.
//
// The container may have nested a hundred thousand directories, or may move them while they are read. Directories are
// opened one by one below the descriptor of their parent, never through a symbolic link. Only the uppermost
// levels stay open; the way back to a deeper one is "..", and what is found there has to be the directory that
// was left. So the walk stays inside, holds a bounded number of descriptors, and its memory grows with the depth
// of the tree, by some 100 bytes a level, not with its entries.
package treewalk
