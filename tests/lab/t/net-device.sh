#!/bin/bash
# The network device alone: a guest of busybox on a tap, under katavm vmm.
# timeout: 1800
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../net-guest.sh"

tap
expect_match "a guest reaches the host" "3 packets received" guest "ping -c 3 -i 0.2 10.99.0.1"
expect_match "with IPv6, too" "2 packets received" guest "ping -c 2 -i 0.2 fd99::1"
expect_match "its hardware address is the one given" "02:00:00:00:00:07" guest "ip link show eth0"
expect_match "its MTU is the one given" "mtu 1280 " guest "ip link show eth0" '"mtu": 1280'
expect_match "a ping of 60 KB in fragments" "2 packets received" guest "ping -c 2 -i 0.2 -s 60000 10.99.0.1"

# 40 MB each way, compared by their sums. The tap gives and takes unfinished segments of up to 64 KiB.
head -c 40000000 /dev/urandom >"$work/sent"
sum=$(md5sum <"$work/sent" | cut -d' ' -f1)
serve() { # makes the file be sent to whoever connects
	python3 - "$work/sent" <<-'END' &
		import socket, sys
		server = socket.create_server(('10.99.0.1', 5001)); peer, _ = server.accept()
		peer.sendfile(open(sys.argv[1], 'rb'))
	END
	until ss -ltn | grep -q :5001; do sleep 0.1; done
}
# shellcheck disable=SC2120 # given through expect_match
download() { serve; guest "nc 10.99.0.1 5001 | md5sum" "$@"; }
upload() {
	python3 - "$work/came" <<-'END' &
		import socket, sys
		server = socket.create_server(('10.99.0.1', 5002)); peer, _ = server.accept()
		out = open(sys.argv[1], 'wb')
		while chunk := peer.recv(1 << 20): out.write(chunk)
	END
	until ss -ltn | grep -q :5002; do sleep 0.1; done
	guest "nc 10.99.0.1 5001 | nc -w 1 10.99.0.1 5002" "$@"
	wait
}
expect_match "40 MB come in whole" "^$sum" download
through() { serve; upload "$@"; }
check "and go out whole" through
check "unchanged" cmp "$work/sent" "$work/came"
[ ! -e "$work/came" ] || rm "$work/came"
segments() { # of more than an MTU, seen on the tap while 40 MB come in
	local before after
	before=$(cat /sys/class/net/t0/statistics/tx_packets)
	# shellcheck disable=SC2119 # nor are any wanted
	download >/dev/null
	after=$(cat /sys/class/net/t0/statistics/tx_packets)
	echo "$((after - before)) packets"
}
expect_match "in segments of much more than an MTU" "^[1-9][0-9]{2,3} packets" segments

tap multi_queue
vcpus=2
expect_match "two queue pairs" "3 packets received" \
	guest "ls /sys/class/net/eth0/queues; ping -c 3 -i 0.2 10.99.0.1" '"queues": 2'
expect_match "are both in the guest" "rx-1" guest "ls /sys/class/net/eth0/queues" '"queues": 2'
expect_match "and carry 40 MB" "^$sum" download '"queues": 2'
vcpus=1

tap
survives_its_tap ""
case $output in *"the link is down"*) pass "the log says so" ;; *) seen | fail "the log says so" ;; esac

chmod 755 "$work"
expect_failure "no rights to make a tap" 125 "tap (t0|/dev/net/tun): (Operation not permitted|Permission denied)" \
	setpriv --reuid 65534 --clear-groups --inh-caps=-all --bounding-set=-all bash -c "exec katavm vmm --config $work/vm.json"
