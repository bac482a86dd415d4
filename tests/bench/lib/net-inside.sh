#!/bin/bash
# The part of ./dev bench net that runs in the lab: net-inside.sh OUT ROUNDS VHOST
. "$(dirname "$0")/inside.sh"
rounds=$2 vhost=$3
inside_prepare
modprobe tun
[ "$vhost" = off ] || modprobe vhost_net
# The host's end of both runs in memory, too.
iperf=$(command -v iperf3)
ldd "$iperf" | grep -o '/[^ ]*' | xargs cp -L --parents -t $root
cp -L --parents "$iperf" -t $root
cp /results/net_rr $root/
ip tuntap add t0 mode tap vnet_hdr
ip addr add 10.98.0.1/24 dev t0
ip link set t0 up
chroot $root "$iperf" -s >/dev/null &
servers=$!
chroot $root /net_rr serve 10.98.0.1 5300 &
servers="$servers $!"

host_counters() { # rx of the tap is what the guest sent
	local name value
	for name in rx_packets tx_packets; do
		read -r value <"/sys/class/net/t0/statistics/$name"
		printf ' %s=%s' "$name" "$value"
	done
}
speed() { awk -v name="$2" -v at="$3" '$1 == "speed" && $2 == name { print $at }' "$1"; } # FILE NAME FIELD
per_mib() { # FILE NAME COUNTER
	awk -v n="$(counted "$1" "$2-begin" "$2-end" "$3")" -v bytes="$(speed "$1" "$2" 3)" 'BEGIN { printf "%.3f", n / (bytes / 1048576) }'
}
per_trip() { awk -v n="$(counted "$1" rr-begin rr-end "$2")" 'BEGIN { printf "%.3f", n / 600 }'; }
keys=
[ "$vhost" = off ] || keys=', "vhost": true'
round=1
while [ "$round" -le "$rounds" ]; do
	echo "round $round: katavm"
	boot_katavm /mnt/katavm '"net": [{"tap": "t0", "mac": "02:00:00:00:00:07"'"$keys"'}]'
	echo "round $round: peer"
	boot_peer /mnt/peer -netdev tap,id=n,ifname=t0,script=no,downscript=no,vhost="$vhost" \
		-device virtio-net-device,netdev=n,mac=02:00:00:00:00:07
	cp /mnt/katavm "/results/katavm.$round"
	cp /mnt/peer "/results/peer.$round"
	for name in send receive; do
		echo "row $name MiB/s higher $(speed /mnt/katavm $name 4) $(speed /mnt/peer $name 4)"
	done
	echo "row round-trip ns lower $(awk '$1 == "rr" { print $2 }' /mnt/katavm) $(awk '$1 == "rr" { print $2 }' /mnt/peer)"
	for name in send receive; do
		echo "row $name-packets-of-guest packets/MiB lower $(per_mib /mnt/katavm $name rx_packets) $(per_mib /mnt/peer $name rx_packets)"
		echo "row $name-packets-to-guest packets/MiB lower $(per_mib /mnt/katavm $name tx_packets) $(per_mib /mnt/peer $name tx_packets)"
		echo "row $name-exits exits/MiB lower $(per_mib /mnt/katavm $name exits) $(per_mib /mnt/peer $name exits)"
		echo "row $name-interrupts interrupts/MiB lower $(per_mib /mnt/katavm $name irq_injections) $(per_mib /mnt/peer $name irq_injections)"
	done
	echo "row round-trip-exits exits/trip lower $(per_trip /mnt/katavm exits) $(per_trip /mnt/peer exits)"
	echo "row round-trip-interrupts interrupts/trip lower $(per_trip /mnt/katavm irq_injections) $(per_trip /mnt/peer irq_injections)"
	round=$((round + 1))
done
# shellcheck disable=SC2086
kill $servers
