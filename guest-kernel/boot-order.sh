#!/bin/bash
# Which functions of a kernel run from its entry until a first container has come and gone, and which are rewritten at boot
# (profile/order.py). build.sh has the linker put them next to each other, so that a guest touches, and makes its own, a
# fraction of the pages of text.
# usage: boot-order.sh VMLINUX > boot-order        (System.map lies beside VMLINUX)
# The kernel is emulated on the machine itself, with an init that does what the agent does (profile/walk.c).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
vmlinux=${1:?usage: boot-order.sh VMLINUX}
map=$(dirname "$vmlinux")/System.map
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

gcc -O2 -shared -fPIC -o "$dir/count.so" "$here/profile/count.c"
gcc -O2 -Wall -static -o "$dir/init" "$here/profile/walk.c"
(cd "$dir" && echo init | cpio -o -H newc --quiet > init.cpio)
mkdir -p "$dir"/layer/{proc,dev,sys,etc,tmp}
cp "$dir/init" "$dir/layer/program"
mkfs.erofs --quiet "$dir/erofs" "$dir/layer" > /dev/null
truncate -s 64M "$dir/ext4"
mke2fs -q -t ext4 -O ^has_journal "$dir/ext4"
status=0
timeout 300 qemu-system-x86_64 -M microvm,rtc=off,isa-serial=off,x-option-roms=off,acpi=off -accel tcg -icount shift=0,sleep=off -cpu max \
  -m 512 -nodefaults -no-user-config -display none -no-reboot -kernel "$vmlinux" -initrd "$dir/init.cpio" \
  -append "panic=-1 noreplace-smp tsc=reliable tsc_early_khz=1000000 rcupdate.rcu_expedited=1 cgroup_no_v1=all no_timer_check quiet" \
  -drive "if=none,id=a,file=$dir/erofs,format=raw,readonly=on" -device virtio-blk-device,drive=a,serial=layer0 \
  -drive "if=none,id=b,file=$dir/ext4,format=raw" -device virtio-blk-device,drive=b,serial=scratch \
  -device virtio-rng-device -device isa-debug-exit,iobase=0x600,iosize=2 \
  -plugin "$dir/count.so,out=$dir/counts,through=on" > "$dir/log" 2>&1 || status=$?
[ "$status" = 3 ] && [ -s "$dir/counts" ] || { echo "boot-order: the guest did not power off (status $status)"; cat "$dir/log"; exit 1; } >&2

python3 "$here/profile/order.py" "$vmlinux" "$map" "$dir/counts"
