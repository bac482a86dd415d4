#!/bin/bash
# timeout: 1500
# A user's containers reach the network through passt.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../network.sh"
cd "$work" || exit 1
make_outside
ip route add default via 192.0.2.2 2>/dev/null # passt serves a host that has a default route
ip -6 route add default via 2001:db8::2 2>/dev/null
chmod 666 /dev/kvm
mkdir home
chown -R 65534:65534 home
chmod -R a+rX "$work"
user() { env HOME="$work/home" XDG_RUNTIME_DIR="$work/home" setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }
run() { user timeout 700 katavm run --timeout 600 "$@"; }

# The guest keeps its direction of a connection open: passt 2023_03 loses the rest of what comes when it is not.
# shellcheck disable=SC2016 # the guest's shell expands it
observe run "$image" sh -c '
	mkfifo /f
	echo "tcp $(nc -w 20 192.0.2.2 7000 <>/f)"
	echo "six $(nc -w 20 2001:db8::2 7000 <>/f)"
	echo "name $(nc -w 20 service.test 7000 <>/f)"
	ip -o -4 addr show eth0; ip link show eth0; ip route'
has() { # NAME REGEX
	if grep -qE -- "$2" <<<"$output"; then pass "$1"; else { echo "wanted $2"; seen; } | fail "$1"; fi
}
has "the outside is reached, as this host" '^tcp 192\.0\.2\.1$'
has "and over IPv6" '^six 2001:db8::1$'
has "names are asked of the host's server" '^name (192\.0\.2\.1|2001:db8::1)$'
has "an address of its own" 'inet 10\.143\.0\.15/24'
has "frames of 64 KiB" 'mtu 65520 '
if pgrep -x 'passt(\.avx2)?' >/dev/null; then fail "passt ends with its container" </dev/null; else pass "passt ends with its container"; fi
if [ -z "$(find /tmp -maxdepth 1 -name 'katavm-passt*')" ]; then pass "no file is left"; else fail "no file is left" </dev/null; fi

# 20 MB come in.
head -c 20000000 /dev/urandom >sent
sum=$(md5sum <sent | cut -d' ' -f1)
outside python3 -c '
import socket
server = socket.create_server(("192.0.2.2", 5001))
while True: peer, _ = server.accept(); peer.sendfile(open("sent", "rb")); peer.close()' &
server=$!
until outside ss -ltn | grep -q :5001; do sleep 0.1; done
expect_match "20 MB come in whole" "^$sum" run "$image" sh -c 'mkfifo /f; nc 192.0.2.2 5001 <>/f | md5sum'
kill $server

python3 -m http.server --bind 127.0.0.1 5555 >/dev/null 2>&1 &
server=$!
until ss -ltn | grep -q :5555; do sleep 0.1; done
get='printf "GET / HTTP/1.0\r\n\r\n"; sleep 3'
if [[ $(bash -c "$get" | nc -q 1 127.0.0.1 5555 2>/dev/null || bash -c "$get" | busybox nc 127.0.0.1 5555) == *"HTTP/1"* ]]; then pass "a server on it"; else fail "a server on it" </dev/null; fi
ip route add blackhole 10.143.0.0/24 # nor does it leave the lab by its own default route
observe run "$image" sh -c "($get) | nc -w 5 10.143.0.1 5555"
if [[ $output == *HTTP/1* ]]; then seen | fail "the host's loopback is not reached"; else pass "the host's loopback is not reached"; fi
kill $server

# A guest that only listens, so that passt has heard nothing of it. The client speaks first: before passt 2024_08 the
# guest does not learn that a connection is there until something is sent on it.
cat >client.py <<'END'
import socket, sys, time
for turn in range(100):
    try:
        peer = socket.create_connection(("127.0.0.1", 7070), 10)
        peer.sendall(b"thanks\n")
        line = peer.makefile().readline().strip()
        if line:
            sys.exit(print(line))
    except OSError:
        pass
    time.sleep(0.3)
END
# shellcheck disable=SC2016 # the guest's shell expands it
run -p 127.0.0.1:7070:70 -p 127.0.0.1::71 "$image" sh -c '
	{ echo port 70; sleep 600; } | nc -l -p 70 >/got &
	for turn in $(seq 300); do [ ! -s /got ] || break; sleep 0.2; done
	cat /got' >served 2>&1 &
asked=$!
if [ "$(timeout 600 python3 client.py)" = "port 70" ]; then pass "a published port"; else fail "a published port" <served; fi
wait $asked
if grep -q thanks served; then pass "both ways"; else fail "both ways" <served; fi

python3 -m http.server --bind 127.0.0.1 7071 >/dev/null 2>&1 &
server=$!
until ss -ltn | grep -q :7071; do sleep 0.1; done
expect_failure "a port that is taken" 125 '7071' run -p 127.0.0.1:7071:70 "$image" true
kill $server
ip -6 route del default
expect_failure "a port of IPv6 where there is none" 125 'no route for IPv6' run -p '[::1]:7072:70' "$image" true
expect_match "the others are served" '^inet 10.143.0.15/24$' \
	run "$image" sh -c 'ip -o addr show eth0 | grep -o "inet6* [^f][^ ]*"'
expect_failure "a network of katavm's needs root" 125 'the network "mine" needs root' run --network mine "$image" true
expect_failure "and an address on it" 125 'need root' run --ip 10.143.0.77 "$image" true
mkfifo hold
exec 9<>hold
run -i "$image" sh -c 'echo up; read -r x; echo lives' <hold >held 2>&1 9>&- &
until grep -q up held; do sleep 0.2; done
pkill -x 'passt(\.avx2)?'
echo >&9
wait $!
exec 9>&-
if grep -q lives held; then pass "passt is killed, and the container lives"; else fail "passt is killed, and the container lives" <held; fi
mv "$(command -v passt)" hidden
[ ! -e /usr/bin/passt.avx2 ] || mv /usr/bin/passt.avx2 hidden2
expect_failure "without passt" 125 'install the package passt' run --network default "$image" true
observe run "$image" echo runs
case "$output $errors" in *runs*"install the package passt"*) pass "or, when nobody asked, without a network" ;;
*) seen | fail "or, when nobody asked, without a network" ;; esac
remove_outside
