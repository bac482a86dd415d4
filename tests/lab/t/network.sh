#!/bin/bash
# timeout: 1500
# The default network: out through a bridge with address translation, names, distinct addresses, nothing left behind.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../network.sh"
cd "$work" || exit 1
make_outside

# shellcheck disable=SC2016 # the guest's shell expands it
run --network default --hostname box "$image" sh -c '
	echo "tcp4 $(echo | nc -w 20 192.0.2.2 7000)"
	echo "tcp6 $(echo | nc -w 20 2001:db8::2 7000)"
	echo "name $(echo | nc -w 20 service.test 7000)"
	echo "lookup $(nslookup service.test 2>&1 | grep -c -E "192.0.2.2|2001:db8::2")"
	echo "hosts $(grep -c "	box$" /etc/hosts)"
	ip -o -4 addr show eth0; ip route; ip -6 route
	ping -c 1 -W 20 192.0.2.2 >/dev/null && echo pinged
	ping -s 1472 -M do -c 1 -W 20 192.0.2.2 >/dev/null 2>&1 || ping -s 1472 -c 1 -W 20 192.0.2.2 >/dev/null && echo whole
' >out 2>err
said() { # NAME REGEX
	if grep -qE -- "$2" out; then pass "$1"; else cat out err | fail "$1"; fi
}
said "the outside is reached by IPv4, as this host" '^tcp4 192\.0\.2\.1$'
said "and by IPv6" '^tcp6 2001:db8::1$'
said "names are asked of the host's server" '^name (192\.0\.2\.1|2001:db8::1)$'
said "both kinds of answers" '^lookup [2-9]'
said "its own name is in /etc/hosts, once for each address" '^hosts 2$'
said "an address of the default network" 'inet 10\.1(4[4-9]|5[0-9])\.0\.2/16'
said "a default route" '^default via 10\.1..\.0\.1 dev eth0'
said "a default route of IPv6" '^default via fd.*::1 dev eth0'
said "ping" '^pinged$'
said "a packet of full size" '^whole$'
nothing_left "nothing is left"

# Several at once: each has an address of its own, and stays until all of them are there.
mkfifo hold
exec 9<>hold
for i in $(seq 10); do
	run -i --network default -m 48m --disk 0 "$image" sh -c 'ip -o -4 addr show eth0; read -r x' <hold >"many$i" 2>&1 9>&- &
done
for i in $(seq 10); do
	until grep -q inet "many$i"; do sleep 0.2; done
done
count=$(cat many* | grep -o 'inet [0-9.]*' | sort -u | wc -l)
if [ "$count" = 10 ]; then pass "ten at once have ten addresses"; else cat many* | fail "ten at once have ten addresses"; fi

# One of them, killed without a word: its address, rules and file go with the next run.
victim=$(pgrep -f 'katavm run .*--disk 0' | while read -r pid; do
	[ "$(cat "/proc/$pid/comm")" = katavm ] && echo "$pid" && break
done)
kill -9 "$victim"
for _ in $(seq 10); do echo >&9; done
exec 9>&-
# shellcheck disable=SC2046 # several numbers
wait $(jobs -p | grep -v "^$outside_pid$") 2>/dev/null
check "a run after one was killed" run --network default "$image" true
nothing_left "nothing of the killed one is left"

# Somebody empties the packet filter: the next container mends it.
nft flush ruleset
expect_match "after nft flush ruleset" '^192\.0\.2\.1$' run --network default "$image" sh -c 'echo | nc -w 20 192.0.2.2 7000'
before=$(nft list table inet katavm | grep -c .)
nft flush chain inet katavm forward
nft add chain inet katavm version-00000000
check "a run after a chain was emptied" run --network default "$image" true
expect_output "the chain is written again, and another version's mark is gone" "$before" \
	sh -c 'nft list table inet katavm | grep -c .'

# Without nft.
mount --bind /dev/null "$(readlink -f /usr/sbin/nft)"
expect_failure "without nft, asked for" 125 'needs the program nft.*package nftables.*--network none' \
	run --network default "$image" true
expect_match "without nft, not asked for: said, and none" 'no network: .*needs the program nft' run "$image" true
check "without nft, none" run --network none "$image" true
umount "$(readlink -f /usr/sbin/nft)"

expect_failure "a network nobody made" 125 'no network "nowhere"' run --network nowhere "$image" true
expect_failure "the host's network" 125 'cannot be' run --network host "$image" true
expect_failure "--ip without a network" 125 'need a network' run --network none --ip 10.1.1.1 "$image" true
remove_outside
