#!/bin/sh
# The part of ./dev bench boot that runs in the lab: boot-inside.sh OUT IMAGE RUNS
# What is timed is copied to memory first: waiting for the machine's files would show up as time.
set -eu
out=$1 image=$2 runs=$3
mount -t tmpfs bench /mnt
cp -r "$out" /mnt/out
cp -r --sparse=always /results/store /results/peer.cpio /results/elapsed /mnt/
katavm="/mnt/out/bin/katavm --root /mnt/store run --rm -q"

run=0
while [ "$run" -le "$runs" ]; do
	# shellcheck disable=SC2086
	/mnt/elapsed $katavm "$image" /bin/true 2>"/mnt/total.$run" || { cat "/mnt/total.$run"; exit 1; }
	# shellcheck disable=SC2086 # the trace has a cost of its own, so the whole is timed without it
	$katavm --trace "/mnt/trace.$run" "$image" /bin/true
	run=$((run + 1))
done
run=1
while [ "$run" -le "$runs" ]; do # the first run only warmed up
	cat "/mnt/trace.$run" >"/results/trace.$run"
	printf '{"stage":"total","ns":%s}\n' "$(tail -n 1 "/mnt/total.$run")" >>"/results/trace.$run"
	run=$((run + 1))
done

parameters="panic=-1 no_timer_check tsc=reliable rcupdate.rcu_expedited=1 cgroup_no_v1=all swiotlb=noforce quiet console=hvc0"
run=0
while [ "$run" -le "$runs" ]; do
	/mnt/elapsed --until 'hello from init' qemu-system-x86_64 -M microvm,accel=kvm,pit=off,rtc=off,isa-serial=off,acpi=off \
		-cpu host -m 512 -nodefaults -no-user-config -display none -no-reboot -kernel /mnt/out/lib/katavm/vmlinux \
		-initrd /mnt/peer.cpio -append "$parameters" -device virtio-serial-device -chardev stdio,id=c \
		-device virtconsole,chardev=c 2>"/mnt/qemu.$run" </dev/null || { cat "/mnt/qemu.$run"; exit 1; }
	[ "$run" = 0 ] || tail -n 1 "/mnt/qemu.$run" >>/results/qemu
	run=$((run + 1))
done
