#!/bin/bash
# The part of ./dev bench memory that runs in the lab: memory-inside.sh OUT ROUNDS
. "$(dirname "$0")/inside.sh"
rounds=$2
inside_prepare
modprobe vhost_vsock
modprobe tun
truncate -s 64M $root/disk
ip tuntap add t0 mode tap vnet_hdr
mkdir -p $root/share

# At each mark, in KiB: memory of the process's own, and of that what is the guest's. Guest RAM is what is not dumped with a core, what
# is as large as RAM, and the files that are mapped into it. Only the shell's own words are used: starting a program waits
# for its file, and the instruction clock jumps over what is waited for.
kvm_counters() {
	local pid word value rest name line lines own=0 ram=0 private=0 is_ram=
	for pid in /proc/[0-9]*; do
		name=
		read -r name 2>/dev/null <"$pid/comm" || true
		case $name in katavm-vmm | qemu-system-x86) break ;; esac
	done
	mapfile -t lines <"$pid/smaps"
	for line in "${lines[@]}"; do
		word=${line%% *}
		case $word in
		*-* | Size: | Private_* | VmFlags:) read -r word value rest <<<"$line" ;;
		*) continue ;;
		esac
		case $word in
		*-*) # the next mapping begins
			if [ -n "$is_ram" ]; then ram=$((ram + own)); else private=$((private + own)); fi
			own=0 is_ram=
			case $rest in */vmlinux* | */guest.cpio*) is_ram=1 ;; esac
			;;
		Size:) [ "$value" -lt 400000 ] || is_ram=1 ;;
		Private_Dirty: | Private_Clean:) own=$((own + value)) ;;
		VmFlags:) case " $value $rest " in *" dd "*) is_ram=1 ;; esac ;;
		esac
	done
	if [ -n "$is_ram" ]; then ram=$((ram + own)); else private=$((private + own)); fi
	printf ' private=%s ram=%s' "$private" "$ram"
}
at() { # FILE MARK KEY
	awk -v mark="$2" -v key="$3" '$1 == "mark" && $2 == mark {
		for (i = 3; i <= NF; i++) { split($i, pair, "="); if (pair[1] == key) print pair[2] } }' "$1"
}
returned() { # FILE: percent
	awk -v idle="$(at "$1" idle ram)" -v used="$(at "$1" used ram)" -v now="$(at "$1" returned ram)" 'BEGIN {
		percent = 0
		if (used - idle > 200000) percent = 100 * (used - now) / (used - idle)
		printf "%.2f", percent }'
}

round=1
while [ "$round" -le "$rounds" ]; do
	echo "round $round: katavm"
	# A share is a process of its own, on both sides, which is not counted; the peer goes without, its memory would have to be a file.
	boot_katavm /mnt/katavm '"disks": [{"path": "/disk"}], "shares": [{"path": "/share", "tag": "share"}],
		"net": [{"tap": "t0", "mac": "02:00:00:00:00:07"}]'
	echo "round $round: peer"
	boot_peer /mnt/peer -drive file=/disk,format=raw,if=none,id=d,aio=io_uring -device virtio-blk-device,drive=d \
		-netdev tap,id=n,ifname=t0,script=no,downscript=no,vhost=off -device virtio-net-device,netdev=n \
		-device vhost-vsock-device,guest-cid=3 -device virtio-rng-device \
		-device virtio-balloon-device,free-page-reporting=on,deflate-on-oom=on
	cp /mnt/katavm "/results/katavm.$round"
	cp /mnt/peer "/results/peer.$round"
	echo "row vmm-private KiB lower $(at /mnt/katavm idle private) $(at /mnt/peer idle private)"
	echo "row idle-guest KiB lower $(at /mnt/katavm idle ram) $(at /mnt/peer idle ram)"
	echo "row returned-after-5s percent higher $(returned /mnt/katavm) $(returned /mnt/peer)"
	round=$((round + 1))
done
