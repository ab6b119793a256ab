// Package images builds the container images that the tests use, from nothing
// but what is on this machine: a busybox from Debian's source, a small Go
// program, and layers put together here. The same source gives the same digests.
//
// There are stand-ins for every image of the CRI validation suite, under their
// upstream names, and images for Berth's own tests under berth.test: users,
// platforms, layer formats, and such as are broken in a particular way.
package images
