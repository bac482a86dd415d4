# shellcheck shell=bash disable=SC2154
# For checks of the network device, read after lib.sh: guests of busybox on a tap, under katavm vmm.
kernel=${KATAVM_TEST_KERNEL:-$(dirname "$(readlink -f "$(command -v katavm)")")/../lib/katavm/vmlinux}
modprobe tun

mkdir -p "$work/root/bin"
cp /bin/busybox "$work/root/bin/"
# The guest's first program does what the kernel's command line says behind "do=", words separated by commas.
cat >"$work/root/init" <<'END'
#!/bin/busybox sh
/bin/busybox --install -s /bin
mkdir -p /proc /sys /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
echo 0 >/proc/sys/net/ipv6/conf/eth0/accept_dad
ip link set eth0 up
ip addr add 10.99.0.2/24 dev eth0
ip addr add fd99::2/64 dev eth0
eval "$(sed -n 's/.*do="\([^"]*\)".*/\1/p' /proc/cmdline)"
poweroff -f
END
chmod 755 "$work/root/init"
(cd "$work/root" && find . | cpio --quiet -o -H newc) >"$work/initramfs.cpio"

tap() { # [ARGUMENT...]: a new tap with the host's address
	ip link del t0 2>/dev/null
	ip tuntap add t0 mode tap vnet_hdr "$@" && ip link set t0 up
	ip addr add 10.99.0.1/24 dev t0
	ip addr add fd99::1/64 dev t0 nodad
}
guest() { # COMMANDS [KEYS]: runs them in a guest on t0
	cat >"$work/vm.json" <<-END
		{"kernel": "$kernel", "initramfs": "$work/initramfs.cpio", "vcpus": ${vcpus:-1},
		"cmdline": "quiet do=\"$1\"", ${control:+"\"control\": \"$control\","}
		"net": [{"tap": "t0", "mac": "02:00:00:00:00:07"${2:+, $2}}]}
	END
	sed -i 's/do="\(.*\)"", /do=\\"\1\\"", /' "$work/vm.json"
	timeout -k 1 600 katavm vmm --config "$work/vm.json"
}
peer() { # BYTES EXPRESSION: the host's side of exchange
	python3 - "$control" "$1" "$2" <<-'END'
		import json, os, socket, sys
		server = socket.create_server(('10.99.0.1', 5003))
		sent = os.urandom(int(sys.argv[2]))
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
		    if line == '\n': break # that was all
		    device = json.loads(line)
		    if device['device'] == 'virtio-net':
		        print('whole' if came == sent else f'{len(came)} bytes', *eval(sys.argv[3]))
	END
}
# exchange BYTES EXPRESSION [KEYS]: so many bytes for a guest, and what it sends back on another connection, compared here. A
# third connection ends when the VMM at $control has been asked what it counted: says "whole", and what the expression (of
# Python) makes of `device`.
exchange() {
	rm -f "$control"
	peer "$1" "$2" >"$work/host" &
	local host=$!
	until grep -qs serving "$work/host"; do sleep 0.1; done
	guest "nc 10.99.0.1 5003 >/sum; nc 10.99.0.1 5003 </sum; nc 10.99.0.1 5003" "${@:3}" >"$work/log" 2>&1 || cat "$work/log"
	wait "$host"
	cat "$work/host"
}
gone() { # KEYS: the tap is removed while the guest runs
	guest "echo ready; while [ \$(cat /sys/class/net/eth0/carrier) = 1 ]; do sleep 0.1; done; echo carrier lost; ping -c 1 -W 1 10.99.0.1; echo lives" \
		"$@" >"$work/log" 2>&1 &
	local vmm=$!
	until grep -qs ready "$work/log"; do sleep 0.2; done
	ip link del t0
	wait "$vmm"
	cat "$work/log"
}
survives_its_tap() { # KEYS; leaves in $output what the guest said
	observe gone "$@"
	case $output in *"carrier lost"*lives*"powered off"*) pass "a tap that is removed takes the link down, and the VM lives" ;;
	*) seen | fail "a tap that is removed takes the link down, and the VM lives" ;; esac
}
