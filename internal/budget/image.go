package budget

// What an image says about itself: its manifest, index and configuration. An image beyond these
// bounds is malformed: it is neither pulled nor, when another tool imported it, listed.
const (
	// ImageConfig bounds an image configuration (OCI image-spec, "Image Configuration"), in bytes.
	ImageConfig = 8 << 20

	// ImageKept bounds what is kept in memory of a configuration: environment, command, user,
	// working directory, volumes and layers, in bytes with ImageKeptEntry for each of them.
	// The kernel does not start a program with more arguments and environment than 6 MiB, and
	// with the usual limit of the stack than 2 MiB.
	ImageKept = 2 << 20

	// ImageKeptEntry is what a string of a configuration takes besides its text, in bytes.
	ImageKeptEntry = 32

	// ImageValues bounds how many values (objects, lists, their members) the JSON of a manifest,
	// index or configuration has. A value of two bytes takes a hundred when it is decoded.
	ImageValues = 200_000

	// ImageLayers bounds the layers of an image. overlayfs takes 500, containerd's tests 128.
	ImageLayers = 512

	// ImageLayer bounds the size of one compressed layer as its manifest states it, in bytes, so
	// that sizes can be summed up.
	ImageLayer = 1 << 40

	// LayersOnTheWay is how many bytes of all layers may wait between download and unpacking.
	// Beyond it each layer has one piece of 256 KiB waiting, instead of up to 4 MiB.
	LayersOnTheWay = 256 << 20

	// IndexDepth bounds how deep indexes are within indexes.
	IndexDepth = 4

	// IndexEntries bounds the manifests that an index names; each becomes a label of content.
	IndexEntries = 4096

	// ReportedNames bounds the tags, the digests and the names of records that one image shows, each.
	ReportedNames = 1000

	// ReportedConfig bounds the configuration that the verbose status of an image shows, in
	// bytes; a longer one is left out with a note.
	ReportedConfig = 1 << 20
)
