// Package vm runs Berth in a virtual machine whose kernel has cgroup v2 alone, on
// machines that have another layout: what the tests of cgroups on fixture trees cannot
// show is what the kernel does.
//
// The machine is emulated (QEMU's TCG, some 15 times slower than the processor; /dev/kvm
// is never used) and boots Debian's cloud kernel, which is downloaded and unpacked but
// not installed. Its disk is made from nothing but bin/, build/busybox, the kernel's
// modules, the nft tool, two images and a compiled test, package test/vm/guest, which
// starts a real berthd there. What the machine says on its serial port ends with the test's
// exit code.
//
//	make vm                                  # all of it
//	BERTH_VM=1 BERTH_VM_RUN=TestOOM go test -v ./test/vm    # one test of the guest
//
// The disk is an ext4 filesystem rather than an initramfs, because runc cannot
// pivot_root(2) out of an initramfs, and because it gives block I/O to account for. The
// initramfs has only what finds the disk.
package vm
