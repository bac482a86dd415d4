#!/bin/bash
# timeout: 1000
# --allow-host and --no-net: what is not allowed is not reached, whatever the guest tries, and is counted.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../network.sh"
cd "$work" || exit 1
make_outside
ip address add 192.0.2.9/24 dev outside0
outside ip address add 192.0.2.8/24 dev eth0

try() { run "$@"; }
expect_match "an allowed name" '^192\.0\.2\.1$' try --allow-host service.test "$image" sh -c 'echo | nc -w 20 service.test 7000'
expect_match "with its port" '^192\.0\.2\.1$' try --allow-host service.test:7000 "$image" sh -c 'echo | nc -w 20 192.0.2.2 7000'
expect_match "an allowed address of IPv6" '^2001:db8::1$' try --allow-host '[2001:db8::2]:7000' "$image" \
	sh -c 'echo | nc -w 20 2001:db8::2 7000'
expect_match "another port" '^denied$' try --allow-host service.test:7001 "$image" \
	sh -c 'echo | nc -w 20 service.test 7000 || echo denied'
expect_match "another address" '^denied$' try --allow-host service.test "$image" \
	sh -c 'echo | nc -w 20 192.0.2.8 7000 || echo denied'
expect_match "the denials are counted" '^katavm: [1-9][0-9]* packets? (was|were) denied' try --allow-host 192.0.2.2 "$image" \
	sh -c 'ping -c 3 -W 1 192.0.2.8'
expect_match "no name server" "bad address" try --allow-host 192.0.2.2 "$image" nc -w 5 other.test 80
expect_match "questions to a name server are denied" '^denied$' try --allow-host 192.0.2.2:7000 "$image" \
	sh -c 'nslookup service.test 192.0.2.2 >/dev/null 2>&1 || echo denied'
expect_match "the host itself" '^denied$' try --allow-host 192.0.2.2 "$image" \
	sh -c 'ping -c 1 -W 2 192.0.2.1 >/dev/null || echo denied'
# shellcheck disable=SC2016
expect_match "with another one's address" '^denied$' try --cap-add NET_ADMIN --allow-host 192.0.2.2:7000 "$image" sh -c '
	me=$(ip -o -4 addr show eth0 | grep -o "inet [0-9.]*" | cut -d" " -f2); other=${me%.*}.200
	ip addr add $other/16 dev eth0; ip addr del $me/16 dev eth0; ip route add default via ${me%.*}.1 2>/dev/null
	ping -c 2 -W 2 192.0.2.2 >/dev/null || echo denied'
expect_failure "a name nobody knows" 125 'allow-host other.test: the host does not find it' \
	try --allow-host other.test "$image" true
expect_failure "no name at all" 125 'neither a name nor an address' try --allow-host 'a b' "$image" true
expect_failure "without a network" 125 'need a network' try --no-net --allow-host 192.0.2.2 "$image" true
expect_match "--no-net has loopback only" '^1$' try --no-net "$image" sh -c 'ls /sys/class/net | wc -l'
nothing_left "nothing is left"
remove_outside
