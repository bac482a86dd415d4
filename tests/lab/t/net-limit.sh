#!/bin/bash
# Rate limits of the network device: what they count, and that nothing is lost by them.
# timeout: 1500
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../net-guest.sh"
control=$work/control

# Limits far below what a guest does on the slowest host.
limited() { # [KEYS]: 3 MB each way with these
	exchange 3000000 "'delayed', device['delayed']" "$@"
}
# shellcheck disable=SC2119 # no more of it than an ordinary one
tap
expect_match "without a limit nothing waits" '^whole delayed 0$' limited
expect_match "what the guest sends waits, and arrives whole" '^whole delayed [1-9]' \
	limited '"send_rate": {"bytes": 300000, "bytes_burst": 100000}'
expect_match "what it receives, too" '^whole delayed [1-9]' limited '"receive_rate": {"operations": 100, "operations_burst": 4}'
expect_match "both at once" '^whole delayed [1-9]' \
	limited '"receive_rate": {"bytes": 300000, "bytes_burst": 100000}, "send_rate": {"operations": 30, "operations_burst": 4}'
ip link del t0

# The same of a container, which is asked about while it waits for a line.
. "$(dirname "$0")/../network.sh"
make_outside
mkfifo "$work/hold"
exec 9<>"$work/hold"
run -i --name slow --network default,send-packets=10:2 "$image" sh -c '
	for i in 1 2 3 4 5 6 7 8; do echo | nc -w 60 192.0.2.2 7000; done; echo sent; read -r line' <"$work/hold" >"$work/out" 2>&1 9>&- &
container=$!
until grep -q sent "$work/out" || ! kill -0 "$container"; do sleep 0.2; done
expect_match "a container's limit" '"device":"virtio-net".*"delayed":[1-9]' katavm stats --devices --format json slow
echo >&9
wait "$container"
expect_output "loses nothing" 8 grep -c '^192\.0\.2\.1$' "$work/out"
exec 9>&-
expect_failure "a limit that is none" 125 'rate is .* a size .*not "0"' run --network default,rate=0 "$image" true
expect_failure "a limit without a network" 125 'no interface without a network' run --network none,rate=1m "$image" true
remove_outside
