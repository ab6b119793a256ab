package hostile

import (
	"os"
	"syscall"
)

// ownerOf is the user that a file belongs to.
func ownerOf(info os.FileInfo) uint32 { return info.Sys().(*syscall.Stat_t).Uid }
