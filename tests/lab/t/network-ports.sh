#!/bin/bash
# timeout: 1500
# Published ports: TCP and UDP, from this host and from outside, ranges and random ones, and who has one already.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../network.sh"
cd "$work" || exit 1
make_outside

# A guest that answers on TCP 80 and 81, by its own echo of what it sees, and UDP 5353; until something is written to "end".
serve() { # NAME FLAGS...
	local name=$1
	shift
	mkfifo "end.$name"
	# shellcheck disable=SC2016 # the guest's shell expands it
	run -i --name "$name" "$@" "$image" sh -c '
		(while :; do echo "eighty $(hostname)" | nc -l -p 80 >/dev/null; done) &
		(while :; do echo "eighty-one" | nc -l -p 81 >/dev/null; done) &
		udp_answer 5353 &
		while ! netstat -ltn | grep -q ":81 "; do sleep 0.1; done
		echo serving; read -r x' <>"end.$name" >"said.$name" 2>&1 &
	until grep -q serving "said.$name" || ! kill -0 $!; do sleep 0.2; done
}
tcp() { timeout 60 ncat --recv-only "$@"; }
udp() { # HOST PORT: asks until there is an answer
	$prefix python3 - "$@" <<-'END'
		import socket, sys
		kind = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
		s = socket.socket(kind, socket.SOCK_DGRAM)
		s.settimeout(3)
		s.connect((sys.argv[1], int(sys.argv[2])))
		for i in range(20):
		    try:
		        s.send(b"question\n")
		        print(s.recv(1000).decode().strip())
		        break
		    except (TimeoutError, ConnectionRefusedError):
		        pass
	END
}

prefix=''
in_outside() {
	local prefix='ip netns exec outside'
	"$@"
}

serve one --hostname one -p 8080:80 -p 192.0.2.1:8081:80 -p 5353:5353/udp -p 192.0.2.1:5354:5353/udp -p '[::]:9000-9001:80-81'
expect_output "a port without an address, on loopback" 'eighty one' tcp 127.0.0.1 8080
expect_output "and on loopback of IPv6" 'eighty one' tcp ::1 8080
expect_failure "and not on another address" 1 refused tcp 192.0.2.1 8080
expect_failure "nor from outside" 1 . outside timeout 60 ncat --recv-only 192.0.2.1 8080
expect_output "an address of the host, from outside" 'eighty one' outside timeout 60 ncat --recv-only 192.0.2.1 8081
expect_output "and from the host itself" 'eighty one' tcp 192.0.2.1 8081
expect_output "every address, from outside" 'eighty one' outside timeout 60 ncat --recv-only 192.0.2.1 9000
expect_output "every address of IPv6, from outside" 'eighty-one' outside timeout 60 ncat --recv-only 2001:db8::1 9001
expect_output "every address, on loopback" 'eighty-one' tcp 127.0.0.1 9001
expect_output "UDP on loopback" 'udp answer' udp 127.0.0.1 5353
expect_output "UDP on loopback of IPv6" 'udp answer' udp ::1 5353
expect_output "UDP from outside" 'udp answer' in_outside udp 192.0.2.1 5354
guest=$(grep -ho '"address":"[0-9.]*' /run/katavm/net/leases/default/* | cut -d'"' -f4)
outside ip route add default via 192.0.2.1
expect_failure "the guest's own address is not reached from outside" 124 '^$' \
	outside timeout 5 ncat --recv-only "$guest" 80
outside ip route del default
expect_output "katavm port" '80/tcp -> 127.0.0.1:8080
80/tcp -> [::1]:8080
80/tcp -> 192.0.2.1:8081
5353/udp -> 127.0.0.1:5353
5353/udp -> [::1]:5353
5353/udp -> 192.0.2.1:5354
80/tcp -> 0.0.0.0:9000
81/tcp -> 0.0.0.0:9001' katavm port one
expect_output "katavm port of one port" '192.0.2.1:5354' sh -c 'katavm port one 5353/udp | tail -n 1'
expect_failure "katavm port of one that is not published" 1 'port 82 of "one" is not published' katavm port one 82
expect_failure "katavm port of nobody" 1 'no running container "nobody"' katavm port nobody

expect_failure "a port another container has" 125 'TCP port 8080 of 127.0.0.1 is in use by container one' \
	run -p 8080:80 "$image" true
python3 -c 'import socket, time
s = socket.socket(); s.bind(("127.0.0.1", 7777)); s.listen(); print("listening", flush=True); time.sleep(600)' >taken &
holder=$!
until [ -s taken ]; do sleep 0.1; done
expect_failure "a port another program has" 125 'TCP port 7777 of 127.0.0.1 is in use by another program' \
	run -p 7777:80 "$image" true
kill $holder
expect_failure "an address of nobody" 125 '203.0.113.9 is no address of this host' run -p 203.0.113.9:80:80 "$image" true
expect_failure "a port that is none" 125 "container's port is not from 1 to 65535" run -p 80:http "$image" true

serve two --hostname two -p 80
port=$(katavm port two 80 | head -n 1)
expect_output "a random port" 'eighty two' tcp "${port%:*}" "${port##*:}"

# Killed: the port is free at once, and what the kernel translates goes with the next run.
pid=$(katavm ps --format json | grep '"name":"one"' | grep -o '"pid":[0-9]*' | cut -d: -f2)
kill -9 "$pid"
until ! ss -ltn | grep -q :8080; do sleep 0.1; done
check "the port of one that was killed" run -p 8080:80 "$image" true
echo >end.two
nothing_left "nothing is left"
if pgrep katavm-forward; then ps ax | fail "no forwarder is left"; else pass "no forwarder is left"; fi

# The host's name server listens on loopback only.
python3 "$checkout/tests/integration/outside.py" 192.0.2.2 2001:db8::2 >local 2>&1 &
server=$!
until [ -s local ]; do sleep 0.1; done
echo 'nameserver 127.0.0.1' >/etc/resolv.conf
expect_match "a name server on the host's loopback is asked" '^192\.0\.2\.1$' \
	run "$image" sh -c 'echo | nc -w 20 service.test 7000'
expect_match "and says what it does not know" 'NXDOMAIN' run "$image" nslookup other.test
kill $server
remove_outside
