#!/bin/sh
# The part of ./dev bench boot that runs in the lab: boot-inside.sh OUT IMAGE RUNS
# What is timed runs in a root of its own in memory, down to its libraries: each look at one of the machine's files is an
# idle wait, and would show up as time.
set -eu
out=$1 image=$2 runs=$3
root=/mnt/root
mount -t tmpfs bench /mnt
modprobe tun
mkdir -p $root/etc $root/run $root/tmp $root/dev $root/proc $root/sys $root/usr/share $root/usr/lib $root/var/lib
cp -r "$out" $root/out
cp -r --sparse=always /results/store /results/peer.cpio /results/elapsed $root/
qemu=$(command -v qemu-system-x86_64) nft=$(readlink -f /usr/sbin/nft)
{
	ldd "$out/bin/katavm" || true # it may be a static program
	ldd "$qemu"
	ldd "$nft"
} | grep -o '/[^ ]*' | sort -u | xargs cp -L --parents -t $root
cp -L --parents "$qemu" "$nft" /usr/lib/*/qemu/accel-*.so /etc/ld.so.cache -t $root
cp -rL /usr/share/qemu /usr/share/seabios $root/usr/share/
for dir in dev proc sys; do mount --rbind /$dir $root/$dir; done

# In memory, and when nothing is left of what ran before: what a VM's teardown takes is not the next one's time.
run() {
	while pgrep -x katavm-vmm || pgrep -x qemu-system-x86 || pgrep -x nft; do sleep 0.1; done >/dev/null
	sleep 0.5
	chroot $root "$@"
}

start="/out/bin/katavm --root /store run --rm -q"
katavm="$start --network none"
run=0
while [ "$run" -le "$runs" ]; do
	# shellcheck disable=SC2086
	run /elapsed $katavm "$image" /bin/true 2>"/mnt/total.$run" || { cat "/mnt/total.$run"; exit 1; }
	# shellcheck disable=SC2086
	run /elapsed $start --network default "$image" /bin/true 2>"/mnt/network.$run" || { cat "/mnt/network.$run"; exit 1; }
	# shellcheck disable=SC2086 # the trace has a cost of its own, so the whole is timed without it
	run $katavm --trace "/tmp/trace.$run" "$image" /bin/true
	run=$((run + 1))
done
run=1
while [ "$run" -le "$runs" ]; do # the first run only warmed up
	cat "$root/tmp/trace.$run" >"/results/trace.$run"
	for what in total network; do
		printf '{"stage":"%s","ns":%s}\n' $what "$(tail -n 1 "/mnt/$what.$run")"
	done >>"/results/trace.$run"
	run=$((run + 1))
done

parameters="panic=-1 no_timer_check tsc=reliable rcupdate.rcu_expedited=1 cgroup_no_v1=all swiotlb=noforce quiet console=hvc0"
run=0
while [ "$run" -le "$runs" ]; do
	run /elapsed --until 'hello from init' "$qemu" -M microvm,accel=kvm,pit=off,rtc=off,isa-serial=off,acpi=off \
		-cpu host -m 512 -nodefaults -no-user-config -display none -no-reboot -kernel /out/lib/katavm/vmlinux \
		-initrd /peer.cpio -append "$parameters" -device virtio-serial-device -chardev stdio,id=c \
		-device virtconsole,chardev=c 2>"/mnt/qemu.$run" </dev/null || { cat "/mnt/qemu.$run"; exit 1; }
	[ "$run" = 0 ] || tail -n 1 "/mnt/qemu.$run" >>/results/qemu
	run=$((run + 1))
done
