package budget

// Bounds of what is copied into the volumes that an image declares, for one container.
const (
	// VolumeBytes and VolumeEntries bound what volumes get of the image that another volume has got already. A
	// directory is copied once if many volumes are links to it, or lie below each other; what is copied once is
	// bounded by the image itself. It is copied again where a link leads into another volume, or where volumes have
	// names of the same file: in real images, a few small files. A container that needs more cannot be
	// created. containerd and CRI-O have no bound: 10,000 such volumes of an image of 4 MiB take 40 GiB.
	VolumeBytes   = 64 << 20
	VolumeEntries = 100_000
	// VolumeLinks is how many files with several names are remembered while volumes are filled, so that their copies
	// have several names too. One takes some 130 bytes. Beyond that number each name becomes a file of its
	// own, for which VolumeBytes and VolumeEntries are charged.
	VolumeLinks = 200_000
)
