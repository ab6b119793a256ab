package budget

// What registries answer. They are as foreign as the images they give: a tenant names the registry.
const (
	// RegistryManifest bounds an image manifest or index, in bytes; a larger one is no image.
	// The distribution specification asks registries to take at least this much.
	RegistryManifest = 4 << 20

	// RegistryToken bounds the answer of a token server, in bytes; a longer one is no token.
	// Real ones take a few KiB.
	RegistryToken = 1 << 20

	// RegistryError bounds what is read of an answer that is an error, in bytes: as much as
	// containerd reads.
	RegistryError = 64 << 10

	// RegistryErrorShown bounds what the message of a failed pull shows of such an answer, in bytes.
	RegistryErrorShown = 300

	// HostErrorShown bounds the whole error of one registry host in that message, in bytes.
	HostErrorShown = 1 << 10

	// RegistryHeaders bounds the headers of an answer, in bytes. Go's HTTP client takes 10 MiB.
	RegistryHeaders = 256 << 10

	// HostsFile bounds a hosts.toml, in bytes; a larger one is a mistake of whoever wrote it.
	HostsFile = 1 << 20
)
