#!/bin/bash
# The VMM alone: katavm vmm --config boots a guest whose init does one thing and ends.
# timeout: 3600
. "$(dirname "$0")/../lib.sh"
guests=$checkout/build/vmm
kernel=${KATAVM_TEST_KERNEL:-$(dirname "$(readlink -f "$(command -v katavm)")")/../lib/katavm/vmlinux}
mkdir "$work/root"
cp "$guests/vmm_guest_init" "$work/root/init"
(cd "$work/root" && echo init | cpio --quiet -o -H newc) >"$work/initramfs.cpio"

# vm KEYS: runs a guest; KEYS are added to the configuration.
vm() {
	echo "{\"kernel\": \"$kernel\", \"initramfs\": \"$work/initramfs.cpio\", $1}" >"$work/vm.json"
	timeout -k 1 900 katavm vmm -v --config "$work/vm.json"
}
line() { printf '"cmdline": "quiet %s"' "$1"; }

says() { # NAME REGEX: about what was observed last
	if printf '%s\n%s\n' "$output" "$errors" | grep -qE -- "$2"; then pass "$1"; else { echo "wanted $2"; seen; } | fail "$1"; fi
}
ends() { # NAME STATUS
	if [ "$status" = "$2" ]; then pass "$1"; else { echo "wanted status $2"; seen; } | fail "$1"; fi
}

observe vm "$(line test=off)"
says "one CPU" "guest: 1 cpus"
says "a shutdown says so" "the guest powered off"
ends "a shutdown is 0" 0
observe vm "\"vcpus\": 2, $(line 'touch=200 test=off')"
says "2 CPUs" "guest: 2 cpus"
says "what is written to memory is read again" "memory: 200 MiB touched, 0 pages wrong"
expect_match "32 CPUs" "guest: 32 cpus" vm "\"vcpus\": 32, $(line test=off)"
tiny() { # KEYS: a guest without a Linux
	echo "{\"kernel\": \"$guests/vmm_guest_triple_fault\", $1}" >"$work/vm.json"
	timeout -k 1 300 katavm vmm --config "$work/vm.json"
}
expect_failure "32 MiB are the least" 125 '"memory_mib" must be a number from 32' tiny '"memory_mib": 31'
expect_failure "and possible" 1 "triple fault" tiny '"memory_mib": 32'
observe vm "\"memory_mib\": 32, $(line 'test=out test=reboot')"
says "32 MiB" "guest: 1 cpus [12][0-9] MiB"
says "a port nobody serves is refused" "vsock: refused"
says "a reboot says so" "the guest rebooted"
ends "a reboot is 0" 0
expect_match "3072 MiB, up to the hole" "guest: 1 cpus (29|30)[0-9][0-9] MiB" vm "\"memory_mib\": 3072, $(line test=off)"
expect_match "5 GiB, around the hole" "guest: 1 cpus (49|50)[0-9][0-9] MiB" vm "\"memory_mib\": 5120, $(line test=off)"
expect_match "nearly all of it, by several processors" "memory: 440 MiB touched, 0 pages wrong" \
	vm "\"memory_mib\": 512, \"vcpus\": 4, $(line touch=440)"
expect_match "in a memfd, too" "memory: 200 MiB touched, 0 pages wrong" vm "\"shared_memory\": true, $(line touch=200)"
observe vm "\"console\": \"none\", $(line test=panic)"
says "a panic says why" "panicked: .*kill init"
says "without a console it brings the kernel's log" "\] Linux version"
ends "a panic is 1" 1
expect_failure "a triple fault says so" 1 "vCPU 0: triple fault" tiny '"vcpus": 2'

head -c 300000 /dev/urandom >"$work/a"
truncate -s 300032 "$work/a"
truncate -s 300032 "$work/b"
disks="\"disks\": [{\"path\": \"$work/a\", \"readonly\": true, \"serial\": \"layer0\"}, {\"path\": \"$work/b\"}]"
observe vm "\"vcpus\": 3, $disks, $(line test=disks)"
says "3 CPUs" "guest: 3 cpus"
says "a disk's serial" "copied 300032 bytes of layer0"
says "a read-only disk is one" "first is read-only"
check "what was read is what was written" cmp "$work/a" "$work/b"

echo_out() { # the guest connects to a server that sends it a file and takes what comes back
	head -c 5000000 /dev/urandom >"$work/sent"
	python3 - "$work/out.sock" "$work/sent" "$work/back" <<-'END' &
		import socket, sys, threading
		server = socket.socket(socket.AF_UNIX); server.bind(sys.argv[1]); server.listen(9)
		peer, _ = server.accept(); data = open(sys.argv[2], 'rb').read()
		def send():
		    peer.sendall(data); peer.shutdown(socket.SHUT_WR)
		threading.Thread(target=send).start()
		back = open(sys.argv[3], 'wb')
		while chunk := peer.recv(65536): back.write(chunk)
	END
	local server=$!
	while [ ! -S "$work/out.sock" ]; do sleep 0.1; done
	vm "\"vsock\": {\"connect\": [{\"port\": 1024, \"path\": \"$work/out.sock\"}]}, $(line test=out)"
	wait "$server"
}
expect_match "a guest's connection reaches its socket" "port 1024 connected" echo_out
check "and 5 MB come back whole" cmp "$work/sent" "$work/back"
echo_in() {
	rm -f "$work/log"
	vm "\"vsock\": {\"listen\": [{\"port\": 5000, \"path\": \"$work/in.sock\"}]}, $(line test=in)" >"$work/log" 2>&1 &
	local vmm=$!
	until grep -qs 'vsock: listening' "$work/log"; do sleep 0.2; done
	python3 - "$work/in.sock" <<-'END'
		import socket, sys
		peer = socket.socket(socket.AF_UNIX); peer.connect(sys.argv[1])
		peer.sendall(b'hello guest'); peer.shutdown(socket.SHUT_WR)
		print(peer.makefile('rb').read().decode())
	END
	wait "$vmm"
}
expect_output "a host's connection reaches the guest" "hello guest" echo_in

# What cannot start says why, and at what.
bad() { # FILE
	echo "{\"kernel\": \"$1\"}" >"$work/vm.json"
	katavm vmm --config "$work/vm.json"
}
expect_failure "no kernel" 125 "kernel $work/none: No such file" bad "$work/none"
expect_failure "a kernel that is not ELF" 125 "not an ELF file" bad "$work/a"
head -c 5000000 "$kernel" >"$work/truncated"
expect_failure "a truncated kernel" 125 "truncated" bad "$work/truncated"
expect_failure "an initramfs larger than memory" 125 "do not fit" vm \
	"\"memory_mib\": 32, \"initramfs\": \"$kernel\", \"cmdline\": \"\", \"disks\": []"
expect_failure "a disk that is not there" 125 "disk $work/none" vm "\"disks\": [{\"path\": \"$work/none\"}]"
expect_failure "huge pages without a reserve" 125 "reserve of 2 MiB pages" vm "\"huge_pages\": true"

echo 300 >/proc/sys/vm/nr_hugepages
if [ "$(cat /proc/sys/vm/nr_hugepages)" -ge 256 ]; then
	expect_match "huge pages" "guest: 1 cpus" vm "\"huge_pages\": true, $(line test=off)"
fi
echo 0 >/proc/sys/vm/nr_hugepages

# Whoever is killed, nothing stays.
hang() { # starts a guest that waits for ever; leaves the pids of katavm and its VMM in $pid and $vmm
	echo "{\"kernel\": \"$kernel\", \"initramfs\": \"$work/initramfs.cpio\", $(line test=hang)}" >"$work/vm.json"
	rm -f "$work/log"
	katavm vmm --config "$work/vm.json" >"$work/log" 2>&1 &
	pid=$!
	until grep -qs guest: "$work/log" || ! kill -0 "$pid" 2>/dev/null; do sleep 0.2; done
	vmm=$(pgrep -P "$pid")
}
gone() { # PID, within a minute
	[ -n "$1" ] || return 1
	for _ in $(seq 600); do
		kill -0 "$1" 2>/dev/null || return 0
		sleep 0.1
	done
	return 1
}
hang
kill -KILL "$pid"
wait "$pid" 2>/dev/null
check "the VMM dies with a killed katavm" gone "$vmm"
hang
kill -KILL "$vmm"
wait "$pid"
expect_match "a killed VMM is reported with its signal" "killed by signal 9" cat "$work/log"
