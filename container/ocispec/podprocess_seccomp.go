package ocispec

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// podProcessFilter allows a pod's own process the system calls that it makes, and EPERM for all
// others. Only the machine's own ABI is named, so that every other one is refused.
//
// The filter is loaded by the OCI runtime's own process, which goes on to make a few calls before it
// becomes the program; they are the second list.
func podProcessFilter() *specs.LinuxSeccomp {
	return &specs.LinuxSeccomp{
		DefaultAction: specs.ActErrno,
		Syscalls: []specs.LinuxSyscall{
			{Action: specs.ActAllow, Names: []string{
				// What the program does: it waits for children.
				"prctl", "wait4",
				// Go's runtime: memory.
				"brk", "madvise", "mincore", "mmap", "munmap",
				// Threads and their scheduling.
				"arch_prctl", "clone", "exit", "exit_group", "futex", "getpid", "gettid", "nanosleep", "restart_syscall",
				"sched_getaffinity", "sched_yield", "set_robust_list", "set_tid_address", "rseq", "tgkill",
				// Signals.
				"rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack",
				// Time, where the vDSO does not tell it, and random numbers.
				"clock_gettime", "getrandom",
				// What it looks at as it starts, and where it writes why it crashed.
				"close", "fcntl", "openat", "pread64", "prlimit64", "read", "write",
			}},
			{Action: specs.ActAllow, Names: []string{
				"close_range", "dup", "dup3", "epoll_create1", "epoll_ctl", "epoll_pwait", "eventfd2", "execve", "fstat", "fstatfs",
				"getdents64", "getppid", "getuid", "lseek", "newfstatat", "openat2", "pipe2", "readlinkat", "statfs", "statx",
			}},
		},
	}
}
