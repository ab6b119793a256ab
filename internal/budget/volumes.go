package budget

// Bounds of what is copied into the volumes that an image declares, for one container.
const (
	// VolumeBytes and VolumeEntries bound what volumes get of the image that another volume has got already: an
	// image may declare a directory, a directory in it and links to it as volumes, each of which gets a copy. Such
	// directories of real images are nearly empty. What is copied once is bounded by the image itself.
	VolumeBytes   = 64 << 20
	VolumeEntries = 100_000
	// VolumeLinks is how many files of one volume may have names elsewhere: each of them is remembered while the
	// volume is copied.
	VolumeLinks = 200_000
)
