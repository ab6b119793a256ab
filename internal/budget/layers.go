package budget

// PathDepth is how many components the name of an entry of a layer, or the target of a hard link in it, may
// have. Finding such a name from the top costs the square of its depth, once for each entry. A layer
// with a deeper name cannot be unpacked. Images of applications stay below 60; the kernel's PATH_MAX would
// allow 2,048.
const PathDepth = 256
