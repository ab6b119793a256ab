// Package layerfs reads files of a container's root filesystem before it is
// mounted, from the directories that its snapshot consists of.
//
// It follows overlayfs in what it shows: upper directories hide lower ones,
// directories of the same name merge, whiteouts (character devices 0:0) and
// opaque directories end the search. What it cannot show faithfully (redirected
// directories, metadata-only copies, other kinds of mounts) it refuses with
// errdefs.ErrNotImplemented, so that the caller can mount the snapshot instead.
//
// An image's content is hostile: symbolic links are resolved against the
// merged root by walking, never by the kernel, so that nothing leads outside;
// devices and fifos are never opened; reads are bounded.
package layerfs
