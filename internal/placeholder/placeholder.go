// Package placeholder makes a program for processes that are there for their namespaces only.
//
// A namespace of a user's comes with a process only. What such a process has besides is the
// daemon's root directory, and containers that share the host's PID namespace see it. The kernel lets
// root of the host do everything to a process whose user namespace root made, also where that root is
// a container's with few capabilities. But of a program that the process's own user cannot read, the
// kernel protects the process as one of the namespace in which the file belongs to somebody: the
// host's, where a container needs CAP_SYS_PTRACE.
package placeholder

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Sizes and places in the header of a 64-bit ELF file, see elf(5).
const (
	elfHeader        = 64
	elfProgramHeader = 56
	elfMachineEnd    = 24 // identification, type, machine and version
	elfBase          = 0x400000
)

// New makes the program, in memory: a file of one page that can be executed and not read. It is to be
// started stopped (PTRACE_TRACEME), since it has no instructions. The caller closes it; [Path] names it.
func New() (*os.File, error) {
	own := make([]byte, elfHeader)
	exe, err := os.Open("/proc/self/exe")
	if err != nil {
		return nil, err
	}
	defer exe.Close()
	if _, err := io.ReadFull(exe, own); err != nil {
		return nil, fmt.Errorf("read the header of the daemon's own program: %w", err)
	}
	fd, err := unix.MemfdCreate("berth-namespaces", unix.MFD_CLOEXEC|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3 every one can be executed
		fd, err = unix.MemfdCreate("berth-namespaces", unix.MFD_CLOEXEC)
	}
	if err != nil {
		return nil, fmt.Errorf("make a program in memory: %w", err)
	}
	f := os.NewFile(uintptr(fd), "berth-namespaces")
	if _, err = f.Write(emptyProgram(own)); err == nil {
		err = f.Chmod(0o111)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("write a program in memory: %w", err)
	}
	// The kernel does not execute what is open for writing.
	ro, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", fd), unix.O_PATH|unix.O_CLOEXEC, 0)
	f.Close()
	if err != nil {
		return nil, fmt.Errorf("open a program in memory: %w", err)
	}
	return os.NewFile(uintptr(ro), "berth-namespaces"), nil
}

// Path is where a process executes a program of [New], and where it executes itself without one: a
// node may forbid programs in memory (vm.memfd_noexec).
func Path(program *os.File) string {
	if program == nil {
		return "/proc/self/exe"
	}
	return fmt.Sprintf("/proc/self/fd/%d", program.Fd())
}

// emptyProgram is a static program of one segment for the machine of another program's header.
func emptyProgram(header []byte) []byte {
	p := make([]byte, elfHeader+elfProgramHeader)
	copy(p, header[:elfMachineEnd])
	o := binary.NativeEndian
	o.PutUint16(p[16:], 2)                         // e_type: executable
	o.PutUint64(p[24:], elfBase+uint64(elfHeader)) // e_entry
	o.PutUint64(p[32:], elfHeader)                 // e_phoff
	copy(p[48:52], header[48:52])                  // e_flags: the machine's ABI
	o.PutUint16(p[52:], elfHeader)                 // e_ehsize
	o.PutUint16(p[54:], elfProgramHeader)          // e_phentsize
	o.PutUint16(p[56:], 1)                         // e_phnum
	ph := p[elfHeader:]
	o.PutUint32(ph[0:], 1)               // p_type: load
	o.PutUint32(ph[4:], 5)               // p_flags: read, execute
	o.PutUint64(ph[16:], elfBase)        // p_vaddr
	o.PutUint64(ph[24:], elfBase)        // p_paddr
	o.PutUint64(ph[32:], uint64(len(p))) // p_filesz
	o.PutUint64(ph[40:], uint64(len(p))) // p_memsz
	o.PutUint64(ph[48:], 0x1000)         // p_align
	return p
}
