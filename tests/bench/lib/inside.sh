# shellcheck shell=bash
# In the lab: boots a bench's guest under katavm and under QEMU's microvm. Sourced by NAME-inside.sh, whose first arguments
# are the folder of what was built and the number of rounds.
#
# Everything that is timed is in memory, in a root of its own down to the libraries: each look at one of the machine's
# files is an idle wait, and would show up as time.
#
# Guests print on their console. A line "mark NAME" makes the lab write down what KVM has counted for that VM; the guest
# then sleeps for a moment, so that the looking is not in its numbers.
set -eu
out=$1
root=/mnt/root
parameters="panic=-1 no_timer_check tsc=reliable rcupdate.rcu_expedited=1 cgroup_no_v1=all swiotlb=noforce"

inside_prepare() {
	local qemu
	qemu=$(command -v qemu-system-x86_64)
	mount -t tmpfs bench /mnt
	mkdir -p $root/etc $root/run $root/tmp $root/dev $root/proc $root/sys $root/usr/share $root/usr/lib
	cp -r "$out" $root/out
	cp /results/guest.cpio $root/
	{
		ldd "$out/bin/katavm" || true # it may be a static program
		ldd "$qemu"
	} | grep -o '/[^ ]*' | sort -u | xargs cp -L --parents -t $root
	cp -L --parents "$qemu" /usr/lib/*/qemu/accel-*.so /etc/ld.so.cache -t $root
	cp -rL /usr/share/qemu /usr/share/seabios $root/usr/share/
	for dir in dev proc sys; do mount --rbind /$dir $root/$dir; done
	mountpoint -q /sys/kernel/debug || mount -t debugfs debugfs /sys/kernel/debug
}

# What KVM counted for the one VM there is.
kvm_counters() {
	local name vm value
	vm=$(echo /sys/kernel/debug/kvm/[0-9]*)
	for name in exits irq_injections mmio_exits io_exits halt_exits insn_emulation pf_taken pf_fixed irq_exits irq_window_exits signal_exits; do
		value=
		read -r value 2>/dev/null <"$vm/$name" || true
		printf ' %s=%s' "$name" "$value"
	done
	host_counters
}
host_counters() { :; } # for a bench that counts more, in the same form

# follow FILE: copies a VM's console to FILE until the guest says that it is done. Without a limit of time: in exact mode the lab's clock
# jumps over what the lab waits for outside of it, to the next timer, which would be this one's. frame.sh has one.
follow() {
	local line
	while IFS= read -r line; do
		line=${line%$'\r'}
		case $line in
		"mark "*)
			echo "$line$(kvm_counters)"
			echo "$line" >&2 # so that its log tells where it is
			;;
		*) echo "$line" ;;
		esac
		[ "$line" != "bench: done" ] || return 0
	done >"$1"
	echo "the guest ended before its bench was done:"
	tail -n 20 "$1"
	return 1
}

# boot FILE COMMAND...: runs a VM until its bench is done, and waits until nothing is left of it.
boot() {
	local file=$1 vm rc=0
	shift
	mkfifo /mnt/console
	"$@" </dev/null >/mnt/console 2>/mnt/errors &
	vm=$!
	follow "$file" </mnt/console || { rc=1; cat /mnt/errors; }
	kill "$vm" 2>/dev/null || true
	wait "$vm" 2>/dev/null || true
	rm /mnt/console
	while pgrep -x katavm-vmm || pgrep -x qemu-system-x86; do sleep 0.1; done >/dev/null
	sleep 0.5
	return $rc
}

# boot_katavm FILE KEYS: KEYS are added to the configuration of `katavm vmm` ("" for none).
boot_katavm() {
	printf '{"kernel": "/out/lib/katavm/vmlinux", "initramfs": "/guest.cpio", "memory_mib": 512, "cmdline": "quiet"%s}\n' \
		"${2:+, $2}" >$root/vm.json
	boot "$1" chroot $root /out/bin/katavm vmm --config /vm.json
}

# boot_peer FILE OPTION...: QEMU's microvm with the same kernel, initramfs and memory, and these devices.
boot_peer() {
	local file=$1
	shift
	boot "$file" chroot $root "$(command -v qemu-system-x86_64)" -M microvm,accel=kvm,pit=off,rtc=off,isa-serial=off,acpi=off \
		-global virtio-mmio.force-legacy=off -cpu host -m 512 -nodefaults -no-user-config -display none -no-reboot \
		-kernel /out/lib/katavm/vmlinux -initrd /guest.cpio -append "$parameters quiet console=hvc0" \
		-device virtio-serial-device -chardev stdio,id=c,signal=off -device virtconsole,chardev=c "$@"
}

# counted FILE BEGIN END COUNTER: what a counter grew by between two marks of a guest's console.
counted() {
	awk -v begin="$2" -v end="$3" -v key="$4" '
		$1 == "mark" { for (i = 3; i <= NF; i++) { split($i, pair, "="); if (pair[1] == key) value[$2] = pair[2] } }
		END { print value[end] - value[begin] }' "$1"
}
