#!/bin/bash
# timeout: 1500
# Networks of the user's: made, listed, removed; containers on one see each other by name, those of another do not.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../network.sh"
cd "$work" || exit 1
make_outside

check "create" katavm network create front
check "create with addresses" katavm network create --subnet 10.77.1.0/24 --subnet fd77::/64 --gateway 10.77.1.254 back
check "create an internal one" katavm network create --internal --no-ipv6 inside
expect_failure "a name that is taken" 1 'there is a network "front" already' katavm network create front
expect_failure "addresses that are taken" 1 '10.77.0.0/16 overlaps with the network "back"' \
	katavm network create --subnet 10.77.0.0/16 other
expect_failure "addresses of the host" 1 'overlaps with a route of this host' katavm network create --subnet 192.0.2.0/25 other
expect_failure "a name that is none" 1 "a network's name is of letters" katavm network create a/b
expect_failure "a word that --network knows" 1 'cannot be called "none"' katavm network create none
expect_output "ls" "$(printf 'back\nfront\ninside')" sh -c 'katavm network ls -q | grep -v default'
expect_match "ls as a table" '^back  .*10\.77\.1\.0/24 .*fd77::/64' katavm network ls

# shellcheck disable=SC2016 # the guest's shell expands it
serve='while :; do echo "I am $(hostname)" | nc -l -p 80 >/dev/null; done & while ! netstat -ltn | grep -q ":80 "; do sleep 0.1; done; echo serving; read -r x'
start() { # NAME FLAGS...
	local name=$1
	shift
	mkfifo "end.$name"
	run -i --name "$name" --hostname "$name" "$@" "$image" sh -c "$serve" <>"end.$name" >"said.$name" 2>&1 &
	until grep -q serving "said.$name" || ! kill -0 $!; do sleep 0.2; done
}
start web --network front --network-alias www
start db --network back --ip 10.77.1.9
expect_match "by name" '^I am web$' run --network front "$image" sh -c 'echo | nc -w 20 web 80'
expect_match "by an alias" '^I am web$' run --network front "$image" sh -c 'echo | nc -w 20 www 80'
expect_match "by IPv6" '^I am web$' run --network front "$image" sh -c 'echo | nc -w 20 $(grep -o "^fd.*	web" /etc/hosts | cut -f1) 80'
expect_match "out of a network of one's own" '^192\.0\.2\.1$' run --network front "$image" sh -c 'echo | nc -w 20 192.0.2.2 7000'
expect_match "an address asked for" '^I am db$' run --network back "$image" sh -c 'echo | nc -w 20 10.77.1.9 80'
expect_failure "an address that is taken" 125 'the address 10.77.1.9 is in use by container db' \
	run --network back --ip 10.77.1.9 "$image" true
expect_failure "the bridge's address" 125 'the address 10.77.1.254 is in use by the bridge' \
	run --network back --ip 10.77.1.254 "$image" true
expect_failure "an address of another network" 125 'no address of the network "back"' \
	run --network back --ip 10.78.1.9 "$image" true
expect_failure "a name that is in use" 125 'the name "web" is in use' run --network back --name web "$image" true
expect_match "names of another network are not known" "bad address 'web'" run --network back "$image" nc -w 20 web 80
expect_match "nor are its addresses reached" '^unreached$' run --network back "$image" \
	sh -c "nc -w 3 $(grep -ho '"address":"[0-9.]*' /run/katavm/net/leases/front/* | cut -d'"' -f4) 80 </dev/null || echo unreached"
expect_match "nothing leaves an internal network" '^unreached$' run --network inside "$image" \
	sh -c 'nc -w 3 192.0.2.2 7000 </dev/null || echo unreached'

# The user's own files are what the container sees, and stay as they are whoever comes.
mkdir etc
echo '192.0.2.77 mine' | tee mine >etc/hosts
expect_output "a file of the user's is not covered" "$(cat mine mine mine)" run --network front \
	-v ./mine:/etc/hosts -v ./mine:/etc/hostname -v ./mine:/etc/resolv.conf "$image" \
	cat /etc/hosts /etc/hostname /etc/resolv.conf
start file --network front -v ./mine:/etc/hosts
start folder --network front -v ./etc:/etc
start plain --network front
start new --network front
for name in file folder plain; do # an answer of the guest's, which comes after what it was told before
	katavm update -m 200m "$name" >/dev/null
done
expect_output "a file of the user's is left alone" '192.0.2.77 mine' cat mine
expect_output "so is one in a folder of his" '192.0.2.77 mine' cat etc/hosts
for name in file folder plain new; do echo >"end.$name"; done

# One that came later, and one that left: who runs already hears of both.
mkfifo end.watch
# shellcheck disable=SC2016
run -i --network front "$image" sh -c 'echo ready
	until grep -q "	late " /etc/hosts; do sleep 0.1; done; echo came
	until echo | nc -w 20 late 80 2>/dev/null | grep late; do sleep 0.2; done # its name is known before it serves
	while grep -q "	late " /etc/hosts; do sleep 0.1; done; echo left' <>end.watch >watch 2>&1 &
watcher=$!
until grep -q ready watch; do sleep 0.2; done
start late --network front
until grep -q 'I am late' watch || ! kill -0 $watcher; do sleep 0.2; done
echo >end.late
wait $watcher
expect_output "who comes and goes is known to who runs" "$(printf 'ready\ncame\nI am late\nleft')" grep -v layer watch

expect_match "inspect" '"name": ?"web"' katavm network inspect front
expect_failure "rm of one in use" 1 'the network "front" is in use by container web' katavm network rm front

# An address is asked for again while the traces of who had it are being removed, and when nobody removed them.
cp /usr/sbin/nft nft
printf '#!/bin/sh\nwhile [ -e "%s/hold" ]; do sleep 0.1; done\nexec "%s/nft" "$@"\n' "$work" "$work" >slow
chmod +x slow
mount --bind slow /usr/sbin/nft
touch hold
echo >end.db
while katavm ps | grep -q ' db$'; do sleep 0.1; done
run -q --network back --ip 10.77.1.9 "$image" echo again >waited 2>&1 &
again=$!
# it has come to where addresses are given out
until grep -q "OFDLCK.*:$(stat -c %i /run/katavm/net/lock) " /proc/locks || ! kill -0 $again; do sleep 0.1; done
rm hold
wait $again
umount -l /usr/sbin/nft # somebody may be at it still, to take away what is left of the second
expect_output "the address of one that is ending is waited for" again cat waited
start killed --network back --ip 10.77.1.9
kill -KILL "$(katavm ps | awk '$NF == "killed" { print $(NF - 1) }')"
while katavm ps | grep -q ' killed$'; do sleep 0.1; done
expect_output "that of one that was killed is free" again run -q --network back --ip 10.77.1.9 "$image" echo again
echo >end.web
nothing_left "nothing of the containers is left"
check "rm" katavm network rm front back inside
expect_output "and they are gone" '' sh -c 'katavm network ls -q | grep -v default; ip -o link | grep -v kvbr0 | grep kvbr; true'
expect_failure "rm of none" 1 'no network "front"' katavm network rm front
expect_failure "network without a word" 125 'followed by one of: create, inspect, ls, rm' katavm network
remove_outside
