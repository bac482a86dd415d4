# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared with lib.sh and the file of checks
# For checks of networks, read after lib.sh: an outside world in a network namespace of its own, with a small image.
# 192.0.2.1 and 2001:db8::1 are this host's towards it, .2 and ::2 are its own.

image=oci:$work/image:small
run() { timeout 700 katavm run --timeout 600 "$@"; } # a slow host is none of katavm's failures

outside() { ip netns exec outside "$@"; }

make_outside() {
	ip netns add outside
	ip link add outside0 type veth peer name eth0 netns outside
	ip address add 192.0.2.1/24 dev outside0
	ip address add 2001:db8::1/64 dev outside0 nodad
	ip link set outside0 up
	outside ip address add 192.0.2.2/24 dev eth0
	outside ip address add 2001:db8::2/64 dev eth0 nodad
	outside ip link set eth0 up
	outside ip link set lo up
	ip netns exec outside python3 "$checkout/tests/integration/outside.py" 192.0.2.2 2001:db8::2 >"$work/outside" &
	outside_pid=$!
	until [ -s "$work/outside" ]; do sleep 0.1; done
	cp /etc/resolv.conf "$work/resolv.conf"
	echo 'nameserver 192.0.2.2' >/etc/resolv.conf
}

remove_outside() {
	kill "$outside_pid"
	cp "$work/resolv.conf" /etc/resolv.conf
	ip netns del outside
	ip link del outside0 2>/dev/null || true # it went with its other end
}

# Elements of the sets that are each sandbox's, chains of their own, and lease files: what is left of sandboxes.
left() {
	for set in own4 own6 alone; do
		nft list set bridge katavm $set | grep -A20 elements
	done
	for map in ports ports4 ports6 only4 only6 dns4; do
		nft list map inet katavm $map | grep -A20 elements
	done
	nft list table inet katavm | grep -E 'chain (only|nat)-'
	ip -o link | grep -o ' kvt[0-9]*:'
	find /run/katavm/net/leases -type f
}

# An ended container's rules and file are removed by a process that nobody waits for.
nothing_left() { # NAME
	for _ in $(seq 600); do
		[ -n "$(left)" ] || { pass "$1"; return; }
		sleep 0.1
	done
	left | fail "$1"
}

bash "$checkout/tests/lab/small-image.sh" "$work/image" >/dev/null 2>&1
mkdir -p "$work/layer/bin"
gcc -O2 -static -o "$work/layer/bin/udp_answer" "$checkout/tests/lab/udp_answer.c"
tar -C "$work/layer" -cf "$work/layer.tar" bin
umoci raw add-layer --image "$work/image:small" "$work/layer.tar" >/dev/null 2>&1
