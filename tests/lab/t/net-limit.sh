#!/bin/bash
# Rate limits of the network device: what they count, and that nothing is lost by them.
# timeout: 1500
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../net-guest.sh"
control=$work/control

# Three connections of the guest's: 3 MB for it, the same back, and one that ends when the VMM has been asked what it counted.
host() {
	python3 - "$control" <<-'END'
		import json, os, socket, sys
		server = socket.create_server(('10.99.0.1', 5003))
		sent = os.urandom(3000000)
		print('serving', flush=True)
		with server.accept()[0] as peer:
		    peer.sendall(sent)
		came = bytearray()
		with server.accept()[0] as peer:
		    while chunk := peer.recv(1 << 20): came += chunk
		last = server.accept()[0]
		vmm = socket.socket(socket.AF_UNIX)
		vmm.connect(sys.argv[1])
		vmm.sendall(b'stats\n')
		for line in vmm.makefile():
		    device = json.loads(line)
		    if device['device'] == 'virtio-net':
		        print('whole' if came == sent else f'{len(came)} bytes', 'delayed', device['delayed'])
	END
}
limited() { # KEYS: 3 MB each way with these
	rm -f "$control"
	host >"$work/host" &
	local host=$!
	until grep -qs serving "$work/host"; do sleep 0.1; done
	guest "nc 10.99.0.1 5003 >/sum; nc 10.99.0.1 5003 </sum; nc 10.99.0.1 5003" "$@" >"$work/log" 2>&1 || cat "$work/log"
	wait "$host"
	cat "$work/host"
}
# shellcheck disable=SC2119 # no more of it than an ordinary one
tap
expect_match "without a limit nothing waits" '^whole delayed 0$' limited
expect_match "what the guest sends waits, and arrives whole" '^whole delayed [1-9]' \
	limited '"send_rate": {"bytes": 2000000, "bytes_burst": 100000}'
expect_match "what it receives, too" '^whole delayed [1-9]' limited '"receive_rate": {"operations": 100, "operations_burst": 4}'
expect_match "both at once" '^whole delayed [1-9]' \
	limited '"receive_rate": {"bytes": 4000000}, "send_rate": {"operations": 200, "operations_burst": 8}'
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
expect_failure "a limit that is none" 125 'rate=0|let nothing through' run --network default,rate=0 "$image" true
expect_failure "a limit without a network" 125 'no interface without a network' run --network none,rate=1m "$image" true
remove_outside
