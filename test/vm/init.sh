#!/bin/sh
# Sets the machine up as a distribution with cgroup v2 does, runs the tests and ends it. The
# last line on the console tells the exit code.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TMPDIR=/var/tmp
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t securityfs securityfs /sys/kernel/security
mount -t cgroup2 -o nsdelegate,memory_recursiveprot cgroup2 /sys/fs/cgroup
mkdir -p /dev/pts /dev/shm
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
mount -t tmpfs -o mode=755 run /run
mount --make-rshared /
ln -sf /proc/self/fd /dev/fd
while read -r module; do insmod "/modules/$module" || echo "berth-vm: no module $module"; done </modules/order
ip link set lo up
hostname berth-vm
mkswap /dev/vdb >/dev/null && swapon /dev/vdb
echo "berth-vm: booted after $(cut -d' ' -f1 /proc/uptime) s: $(uname -sr), $(nproc) processors"

code=0
for test in /tests/*.test; do
	name=$(basename "$test" .test)
	echo "berth-vm: running $name"
	cd "$(cat "/tests/$name.dir")" || code=1
	BERTH_VM_GUEST=1 "$test" -test.v -test.timeout 20m -test.run "${BERTH_VM_RUN:-$(cat "/tests/$name.run")}" 2>&1 || code=1
done
echo "berth-vm: ended after $(cut -d' ' -f1 /proc/uptime) s with $code"
sync
reboot -f
