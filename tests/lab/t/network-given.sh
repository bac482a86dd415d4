#!/bin/bash
# timeout: 1500
# --network ns:PATH: what is in a network namespace that somebody else has made is carried into the guest.
. "$(dirname "$0")/../lib.sh"
cd "$work" || exit 1
bash "$checkout/tests/lab/small-image.sh" "$work/image" >/dev/null 2>&1
image=oci:$work/image:small
run() { timeout -k 20 700 katavm run --timeout 600 "$@"; } # a slow host is none of katavm's failures
modprobe -a veth macvlan ipvlan dummy tun

# The other end: a namespace that answers on two networks, and a way there.
ip netns add far
in_far() { ip netns exec far "$@"; }
in_far ip link set lo up
for address in 192.0.2.9/32 2001:db8::9/128; do in_far ip addr add $address dev lo nodad 2>/dev/null || in_far ip addr add $address dev lo; done

veth() { # NAMESPACE: eth0 in it, far-NAMESPACE in far
	ip netns add "$1"
	ip link add "far-$1" netns far type veth peer name eth0 netns "$1"
	in_far ip addr add 10.77.0.1/24 dev "far-$1"
	in_far ip -6 addr add fd77::1/64 dev "far-$1" nodad
	in_far ip link set "far-$1" mtu 1400 up
	ip -n "$1" link set eth0 address 02:00:00:77:00:02 mtu 1400
	ip -n "$1" addr add 10.77.0.2/24 dev eth0
	ip -n "$1" -6 addr add fd77::2/64 dev eth0 nodad
	ip -n "$1" link set eth0 up
	ip -n "$1" route add 198.51.100.0/24 via 10.77.0.1 metric 7 mtu 1300
	ip -n "$1" route add 169.254.9.1 dev eth0 scope link
	ip -n "$1" route add default via 10.77.0.1
	ip -n "$1" -6 route add default via fd77::1
	ip -n "$1" neigh add 10.77.0.77 lladdr 02:00:00:77:00:77 dev eth0 nud permanent
}

veth one
# shellcheck disable=SC2016 # the guest's shell expands it
observe run --network ns:/run/netns/one "$image" sh -c '
	ip -o addr show dev eth0; ip link show eth0; ip route; ip -6 route; ip neigh
	ping -c 2 -W 20 10.77.0.1; ping -c 1 -W 20 192.0.2.9; ping -c 1 -W 20 fd77::1; ping -c 1 -W 20 2001:db8::9
	ping -c 1 -W 20 -s 20000 10.77.0.1'
has() { # NAME REGEX
	if grep -qE -- "$2" <<<"$output"; then pass "$1"; else { echo "wanted $2"; seen; } | fail "$1"; fi
}
count() { # NAME NUMBER REGEX
	if [ "$(grep -cE -- "$3" <<<"$output")" = "$2" ]; then pass "$1"; else { echo "wanted $2 times $3"; seen; } | fail "$1"; fi
}
has "its address" 'inet 10\.77\.0\.2/24'
has "of IPv6, too" 'inet6 fd77::2/64'
has "its hardware address" '02:00:00:77:00:02'
has "its MTU" 'mtu 1400 '
has "the default route" '^default via 10\.77\.0\.1 dev eth0'
has "that of IPv6" '^default via fd77::1 dev eth0'
has "a route with a metric" '^198\.51\.100\.0/24 via 10\.77\.0\.1 dev eth0 .*metric 7'
has "a route without a gateway" '^169\.254\.9\.1 dev eth0'
has "a permanent neighbour" '10\.77\.0\.77 .*lladdr 02:00:00:77:00:77 .*PERMANENT'
count "the other end and what is behind it answer" 5 ' 0% packet loss'

# 20 MB each way, through segmentation offloads.
head -c 20000000 /dev/urandom >sent
sum=$(md5sum <sent | cut -d' ' -f1)
in_far python3 -c '
import socket, threading
def give():
    server = socket.create_server(("10.77.0.1", 5001))
    while True: peer, _ = server.accept(); peer.sendfile(open("sent", "rb")); peer.close()
def take():
    server = socket.create_server(("10.77.0.1", 5002)); peer, _ = server.accept(); out = open("came", "wb")
    while chunk := peer.recv(1 << 20): out.write(chunk)
    out.close(); open("done", "w")
threading.Thread(target=give, daemon=True).start(); take()' &
server=$!
until in_far ss -ltn | grep -q :5002; do sleep 0.1; done
expect_match "20 MB come in whole" "^$sum" run --network ns:/run/netns/one "$image" sh -c 'nc 10.77.0.1 5001 | md5sum'
check "and go out" run --network ns:/run/netns/one "$image" sh -c 'nc 10.77.0.1 5001 | nc -w 5 10.77.0.1 5002'
wait $server
check "unchanged" cmp sent came

# One namespace has one sandbox at a time; what a killed one leaves is no hindrance.
mkfifo hold
exec 9<>hold
run -i --network ns:/run/netns/one "$image" sh -c 'echo up; read -r x' <hold >held 2>&1 9>&- &
until grep -q up held; do sleep 0.2; done
expect_failure "a namespace that is taken" 125 'another sandbox has interface eth0' run --network ns:/run/netns/one "$image" true
pkill -9 -x katavm
wait $! 2>/dev/null
exec 9>&-
while ip -n one -o link | grep -q katavm; do sleep 0.2; done
expect_match "after one was killed" ' 0% packet loss' run --network ns:/run/netns/one "$image" ping -c 1 -W 20 10.77.0.1

# Several interfaces, of the kinds that CNI plugins make.
veth two
in_far ip addr flush dev far-two
in_far ip addr add 10.78.0.1/24 dev far-two
ip -n two addr flush dev eth0
ip -n two addr add 10.78.0.2/24 dev eth0 # a gateway that is on none of its networks stays one
ip link add up0 type veth peer name up1
ip link set up0 up
ip link set up1 netns far
in_far ip addr add 10.79.0.1/24 dev up1
in_far ip link set up1 up
ip link add mac0 link up0 netns two type macvlan mode bridge
ip -n two addr add 10.79.0.3/24 dev mac0
ip -n two link set mac0 up
# shellcheck disable=SC2016
observe run --network ns:/run/netns/two "$image" sh -c 'ls /sys/class/net | tr "\n" " "; ping -c 2 -W 20 10.78.0.1; ping -c 2 -W 20 10.79.0.1'
has "several interfaces keep their names" 'eth0 lo mac0'
count "veth and macvlan" 2 ' 0% packet loss'
ip -n two link del mac0
ip link add ipv0 link up0 netns two type ipvlan mode l2
ip -n two addr add 10.79.0.4/24 dev ipv0
ip -n two link set ipv0 up
expect_match "ipvlan" ' 0% packet loss' run --network ns:/run/netns/two "$image" ping -c 2 -W 20 10.79.0.1
ip -n two link del ipv0
ip link add ipv0 link up0 netns two type ipvlan mode l3
ip -n two link set ipv0 up
expect_failure "ipvlan of mode l3 is refused" 125 'ipv0 .*no hardware addresses' run --network ns:/run/netns/two "$image" true

expect_failure "no such namespace" 125 "network namespace $work/none: No such file" run --network "ns:$work/none" "$image" true
expect_failure "a namespace of another kind" 125 'is no network namespace' run --network ns:/proc/self/ns/mnt "$image" true
expect_failure "a file" 125 'is no network namespace' run --network "ns:$work/sent" "$image" true
ip netns add empty
expect_failure "an empty namespace" 125 'no interface that is up' run --network ns:/run/netns/empty "$image" true
expect_failure "--ip does not go with it" 125 'stays as it is' run --ip 10.1.2.3 --network ns:/run/netns/one "$image" true
