#!/usr/bin/env bash
# tests/deploy/boot.sh TREE - a machine of its own for systemd, in namespaces: this machine's files below an overlay that forgets, a
# network with nothing but loopback, a group of its own in cgroup2. Ends when it is killed (SIGKILL), and all that it holds with it;
# only the group stays: the folder whose name is the first line of what this prints. TREE is readable at its own place. Takes root.
set -euo pipefail

if [ "${2:-}" = "" ]; then
	groups=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/self/mounts)
	[ -n "$groups" ] || { echo "boot.sh: no cgroup2 is mounted here" >&2; exit 1; }
	group=$groups/infermesh-test-$$
	mkdir "$group"
	echo "$group"
	echo $$ >"$group/cgroup.procs"
	exec unshare --mount --pid --net --uts --ipc --cgroup --fork --kill-child "$0" "$1" inside
fi

tree=$1
cd "$(dirname "$(readlink -f "$0")")"
mount --make-rprivate /
mount -t tmpfs tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root
cd /mnt/root
# What /etc says of disks, services and the machine is not for this one.
rm -rf etc/systemd/system etc/fstab etc/crypttab
mkdir etc/systemd/system
# systemctl speaks with process 1 itself; while that is not there yet, it must not wait for a bus.
ln -s /dev/null etc/systemd/system/dbus.socket
ln -s /dev/null etc/systemd/system/dbus.service
: >etc/machine-id
mount -t proc proc proc
# Settings of the kernel are everybody's.
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs dev
for device in null zero full random urandom tty; do
	: >dev/$device
	mount --bind /dev/$device dev/$device
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
for folder in dev/shm run tmp; do
	mount -t tmpfs tmpfs $folder
done
mkdir -p "./$tree"
mount --rbind "$tree" "./$tree"
ip link set lo up
hostname infermesh-test
mkdir -p mnt/old
pivot_root . mnt/old
umount -l mnt/old
exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --unit=basic.target
