#!/bin/bash
# The first process of that kernel: gives the second one all files of the machine, and a place in memory for what it writes.
export PATH=/opt/decnet/engine/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
here=$(cd "$(dirname "$0")" && pwd)
work=${here%/scripts/quota-kernel}/build/quota-kernel
busybox=$work/root/bin/busybox
modules=$work/root/usr/lib/uml/modules

mount -t proc proc /proc
mount -t tmpfs -o size=5g tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
"$busybox" insmod "$modules/$(uname -r)/kernel/fs/overlayfs/overlay.ko"
mount -t overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work overlay /mnt/root
cd /mnt/root || exit 1
mkdir -p lib/modules
mount --bind "$work" "${work#/}"
mount --bind "$modules" lib/modules
mount -t tmpfs tmpfs tmp
mount -t tmpfs tmpfs run
mount -t devtmpfs dev dev
mkdir -p dev/shm dev/pts
mount -t tmpfs tmpfs dev/shm
mount -t devpts devpts dev/pts
mount -t sysfs sys sys
mount -t cgroup2 cgroup sys/fs/cgroup
mount --move /proc proc
exec chroot /mnt/root /bin/bash "$here/second.sh" "$work"
