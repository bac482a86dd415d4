#!/bin/bash
# timeout: 1000
# --allow-host and --no-net: what is not allowed is not reached, whatever the guest tries, and is counted.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../network.sh"
cd "$work" || exit 1
make_outside
outside ip address add 192.0.2.8/24 dev eth0

# shellcheck disable=SC2016 # the guest's shell expands it
run --cap-add NET_ADMIN --allow-host service.test:7000 "$image" sh -c '
	echo "name $(echo | nc -w 20 service.test 7000)"
	echo "four $(echo | nc -w 20 192.0.2.2 7000)"
	echo "six $(echo | nc -w 20 2001:db8::2 7000)"
	echo | nc -w 5 192.0.2.2 53 >/dev/null || echo "port denied"
	echo | nc -w 5 192.0.2.8 7000 >/dev/null || echo "address denied"
	ping -c 1 -W 3 192.0.2.2 >/dev/null || echo "ping denied"
	ping -c 1 -W 3 192.0.2.1 >/dev/null || echo "host denied"
	nslookup other.test >/dev/null 2>&1 || echo "names denied"
	me=$(ip -o -4 addr show eth0 | grep -o "inet [0-9.]*" | cut -d" " -f2); net=${me%.*}
	ip addr add $net.200/16 dev eth0; ip addr del $me/16 dev eth0; ip route add default via $net.1 2>/dev/null
	echo | nc -w 5 192.0.2.8 7000 >/dev/null || echo "other sender denied"' >out 2>err
said() { # NAME REGEX
	if grep -qE -- "$2" out err; then pass "$1"; else cat out err | fail "$1"; fi
}
said "an allowed name" '^name (192\.0\.2\.1|2001:db8::1)$'
said "its address of IPv4" '^four 192\.0\.2\.1$'
said "its address of IPv6" '^six 2001:db8::1$'
for what in port address ping host names 'other sender'; do said "not allowed: $what" "^$what denied$"; done
said "denied, port 53 of an allowed address: named" '^katavm: denied: TCP to 192\.0\.2\.2:53 \(--allow-host\)$'
said "denied, an address: named" '^katavm: denied: TCP to 192\.0\.2\.8:7000 \(--allow-host\)$'
said "denied, a ping: named" '^katavm: denied: ICMP to 192\.0\.2\.2 \(--allow-host\)$'
if [ "$(grep -c 'denied: TCP to 192.0.2.8:7000 ' err)" = 1 ]; then pass "named once"; else fail "named once" <err; fi
said "the denials are counted" '^katavm: [1-9][0-9]* packets were denied \(--allow-host\)$'

# A name that moves while the container runs: the old address stays, the new one comes.
cp /etc/hosts hosts
echo '192.0.2.2 moving.test' >>/etc/hosts
# shellcheck disable=SC2016 # the guest's shell expands it
run --allow-host moving.test:7000 "$image" sh -c '
	echo "before $(echo | nc -w 20 moving.test 7000)"
	for turn in $(seq 300); do ! grep -q 192.0.2.8 /etc/hosts || break; sleep 1; done
	echo "old $(echo | nc -w 20 192.0.2.2 7000)"
	echo "new $(echo | nc -w 20 192.0.2.8 7000)"
	echo | nc -w 5 192.0.2.2 53 >/dev/null || echo "port denied"' >out 2>err &
container=$!
for _ in $(seq 600); do
	if grep -q before out || ! kill -0 $container 2>/dev/null; then break; fi
	sleep 0.2
done
{ cat hosts; echo '192.0.2.8 moving.test'; } >/etc/hosts
wait $container
said "a name that moves: before" '^before 192\.0\.2\.1$'
said "its old address" '^old 192\.0\.2\.1$'
said "its new address" '^new 192\.0\.2\.1$'
said "and nothing more" '^port denied$'
cp hosts /etc/hosts

expect_failure "a name nobody knows" 125 'allow-host other.test: the host does not find it' \
	run --allow-host other.test "$image" true
expect_failure "no name at all" 125 'neither a name nor an address' run --allow-host 'a b' "$image" true
expect_failure "without a network" 125 'need a network' run --no-net --allow-host 192.0.2.2 "$image" true
expect_output "--no-net has loopback only" '1' run -q --no-net "$image" sh -c 'ls /sys/class/net | wc -l'
nothing_left "nothing is left"
remove_outside
