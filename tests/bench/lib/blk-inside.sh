#!/bin/bash
# The part of ./dev bench blk that runs in the lab: blk-inside.sh OUT ROUNDS
. "$(dirname "$0")/inside.sh"
rounds=$2
jobs="randread-qd1 randwrite-qd1 randread-qd32 randwrite-qd32 seqread-128k seqwrite-128k"
inside_prepare
modprobe brd rd_nr=1 rd_size=32768
dd if=/dev/zero of=/dev/ram0 bs=1M oflag=direct status=none 2>/dev/null || true # until it is full

# FILE JOB FIELD: 3 KiB moved, 4 MiB/s, 5 operations a second
field() { awk -v name="$2" -v at="$3" '$1 == "fio" && $2 == name { print at == 4 ? $4 / 1024 : $at }' "$1"; }
per_request() { # FILE JOB COUNTER
	local block=4
	case $2 in *128k) block=128 ;; esac
	awk -v n="$(counted "$1" "$2-begin" "$2-end" "$3")" -v kib="$(field "$1" "$2" 3)" -v block="$block" \
		'BEGIN { printf "%.4f", n / (kib / block) }'
}

round=1
while [ "$round" -le "$rounds" ]; do
	echo "round $round: katavm"
	boot_katavm /mnt/katavm '"disks": [{"path": "/dev/ram0", "serial": "bench", "direct": true}]'
	echo "round $round: peer"
	boot_peer /mnt/peer -object iothread,id=io -drive file=/dev/ram0,format=raw,if=none,id=d,cache=none,aio=io_uring \
		-device virtio-blk-device,drive=d,iothread=io
	cp /mnt/katavm "/results/katavm.$round"
	cp /mnt/peer "/results/peer.$round"
	for job in $jobs; do
		case $job in
		*128k) echo "row $job MiB/s higher $(field /mnt/katavm "$job" 4) $(field /mnt/peer "$job" 4)" ;;
		*) echo "row $job IO/s higher $(field /mnt/katavm "$job" 5) $(field /mnt/peer "$job" 5)" ;;
		esac
	done
	for job in $jobs; do
		for counter in exits irq_injections; do
			echo "row $job-$counter per-request lower" \
				"$(per_request /mnt/katavm "$job" $counter) $(per_request /mnt/peer "$job" $counter)"
		done
	done
	round=$((round + 1))
done
