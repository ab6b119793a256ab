package budget

// PathDepth is how many components the name of an entry of a layer, or the target of a hard link in it, may
// have. Finding such a name from the top costs the square of its depth, once for each entry. A layer
// with a deeper name cannot be unpacked. Images of applications stay below 60; the kernel's PATH_MAX would
// allow 2,048.
const PathDepth = 256

// LayerKept is how many entries of one layer may be remembered until the layer is unpacked, some 250 bytes each:
// its directories, whose times are set last, and all entries where a layer is put on a copy of those below. A layer of
// directories alone compresses to almost nothing. Layers of large applications have some 100,000 directories.
const LayerKept = 1_000_000
