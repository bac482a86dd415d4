#!/bin/bash
# The part of ./dev bench vsock that runs in the lab: vsock-inside.sh OUT ROUNDS
. "$(dirname "$0")/inside.sh"
rounds=$2
inside_prepare
cp /results/vsock_talk $root/
modprobe vhost_vsock

serve() { # MODE...: starts the host's end and waits until it listens
	mkfifo /mnt/ready
	setsid chroot $root /vsock_talk "$@" >/mnt/ready &
	server=$!
	read -r _ </mnt/ready
	rm /mnt/ready
}
end_server() { # and what it has forked
	kill -- "-$server" 2>/dev/null || true
	wait "$server" 2>/dev/null || true
}
told() { awk -v name="$2" '$1 == "talk" && $2 == name { print $3 }' "$1"; } # FILE NAME
per_trip() { awk -v n="$(counted "$1" "$2-begin" "$2-end" "$3")" 'BEGIN { printf "%.4f", n / 400 }'; } # FILE MARK COUNTER

round=1
while [ "$round" -le "$rounds" ]; do
	echo "round $round: katavm"
	rm -f $root/host.sock
	serve unix /host.sock
	ports=""
	for port in 1024 1025 1026 1027; do ports="$ports${ports:+, }{\"port\": $port, \"path\": \"/host.sock\"}"; done
	boot_katavm /mnt/katavm "\"vsock\": {\"connect\": [$ports]}"
	end_server
	echo "round $round: peer"
	serve vsock
	boot_peer /mnt/peer -device vhost-vsock-device,guest-cid=3
	end_server
	cp /mnt/katavm "/results/katavm.$round"
	cp /mnt/peer "/results/peer.$round"
	for name in round-trip-1 round-trip-4096; do
		echo "row $name ns lower $(told /mnt/katavm $name) $(told /mnt/peer $name)"
	done
	for name in to-host to-guest; do
		echo "row $name MiB/s higher $(told /mnt/katavm $name) $(told /mnt/peer $name)"
	done
	for counter in exits irq_injections; do
		echo "row round-trip-1-$counter per-trip lower" \
			"$(per_trip /mnt/katavm trips $counter) $(per_trip /mnt/peer trips $counter)"
	done
	round=$((round + 1))
done
