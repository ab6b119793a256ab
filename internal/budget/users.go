package budget

const (
	// UserFile is how many bytes an image's /etc/passwd and /etc/group may have each. A larger file makes
	// the container's creation fail. A hundred thousand users fit.
	UserFile = 16 << 20
	// UserLine is how many bytes a line of either file may have. A line that is longer makes the creation fail.
	UserLine = 1 << 20
	// UserFilesKept is how many bytes of user files the daemon keeps, of all images together. Those of an
	// image that do not fit are read again for each container.
	UserFilesKept = 4 << 20
	// UserFilesKeptEach is how many bytes of it one image may have. A larger file is read line by line, and only
	// the line is held.
	UserFilesKeptEach = 256 << 10
	// UserFilesScanned is for how many containers such large files are read at a time; others wait. Each holds
	// one line, of UserLine bytes at most.
	UserFilesScanned = 16
)
