#!/bin/bash
# timeout: 2400
# Bad input and sudden deaths, each with its sentence, and nothing left behind.
. "$(dirname "$0")/../lib.sh"
cd "$work" || exit 1
bash "$checkout/tests/lab/small-image.sh" "$work/image" >/dev/null 2>&1
image=oci:$work/image:small
lib=$(dirname "$(dirname "$(readlink -f "$(command -v katavm)")")")/lib/katavm
run() { timeout -k 20 700 katavm run --timeout 600 "$@"; } # a slow host is none of katavm's failures
run -q "$image" true

expect_failure "an unknown flag" 125 'unknown flag --hostnam: did you mean --hostname' run --hostnam x "$image"
for flag in "-d" "--restart always" "--gpus all" "--volumes-from x" "--ip6 fd00::1" "--mac-address 02:00:00:00:00:01" \
	"--device /dev/x" "--log-driver none" "--health-cmd x" "-P" "--storage-opt size=1g" "--cpuset-cpus 0"; do
	# shellcheck disable=SC2086
	expect_failure "of a later release: $flag" 125 'not in this release: [a-z-]' run $flag "$image" true
done
expect_failure "no image" 125 'argument is missing' run
expect_failure "a value that is none" 125 'size such as' run -m lots "$image"

inside() { # COMMANDS in a mount namespace of its own, then katavm
	unshare -m sh -c "$1; exec timeout -k 20 60 katavm run $image true"
}
expect_failure "no /dev/kvm" 125 'cannot start a VM: there is no /dev/kvm' inside \
	'mount -t tmpfs x /dev; mknod -m 666 /dev/null c 1 3; mknod -m 666 /dev/urandom c 1 9'
expect_failure "a /dev/kvm that is another thing" 125 "not KVM's" inside 'mount --bind /dev/null /dev/kvm'
chmod 755 "$work"
chmod 660 /dev/kvm
expect_failure "no permission, with what to type" 125 'no permission to open /dev/kvm' \
	env HOME="$work" setpriv --reuid 65534 --regid 65534 --clear-groups timeout -k 20 60 katavm run "$image" true
if [ "$(wc -l <<<"$errors")" = 3 ]; then pass "in three lines"; else seen | fail "in three lines"; fi

expect_failure "no kernel" 125 'nosuch' run --kernel "$work/nosuch" "$image" true
head -c 100000 /dev/urandom >noise
expect_failure "a kernel that is not ELF" 125 'ELF' run --kernel noise "$image" true
head -c 300000 "$lib/vmlinux" >short
expect_failure "a kernel cut short" 125 'kernel' run --kernel short "$image" true
cp "$lib/vmlinux" foreign
printf '\xb7' | dd of=foreign bs=1 seek=18 conv=notrunc status=none # e_machine: aarch64
expect_failure "a kernel for another processor" 125 'kernel' run --kernel foreign "$image" true
expect_failure "no such image" 125 'nosuch' run --pull never nosuch:latest true
expect_failure "another platform" 125 'arm64' run --platform linux/arm64 "$image" true
expect_failure "more memory than there is" 125 'memory' run -m 3000g "$image" true

mkdir lib tree
cp "$lib"/* lib/
cp /bin/busybox tree/sh
printf '#!/sh\nwhile :; do /busybox sleep 9; done\n' >tree/init
ln tree/sh tree/busybox
chmod 755 tree/init
(cd tree && find . | cpio --quiet -o -H newc >../lib/initramfs.cpio)
expect_failure "an agent that never answers" 125 'not come up within 25 seconds' \
	env KATAVM_LIB_DIR="$work/lib" timeout -k 20 100 katavm run --timeout 25 "$image" true
expect_match "its kernel's messages are kept" 'Linux version' katavm logs --boot

start() { # leaves katavm's pid in $pid, its VMM's in $vmm, once the process prints
	rm -f said
	katavm run --timeout 600 "$@" >said 2>&1 &
	pid=$!
	until grep -qs ready said || ! kill -0 "$pid" 2>/dev/null; do sleep 0.3; done
	vmm=$(pgrep -P "$pid" | head -n 1)
}
ended() { # NAME STATUS REGEX
	status=0 errors=
	wait "$pid" 2>/dev/null || status=$?
	output=$(cat said)
	if [ "$status" = "$2" ] && grep -qE -- "$3" said; then pass "$1"; else { echo "wanted $2, $3"; seen; } | fail "$1"; fi
}
start "$image" sh -c 'echo ready; sleep 100'
kill -9 "$vmm"
ended "a VMM that is killed" 125 'the VM ended under the container: .*killed by signal 9'

start --privileged -m 32m "$image" sh -c 'echo 2 >/proc/sys/vm/panic_on_oom; echo ready; tail /dev/zero'
ended "a kernel that panics" 125 'the VM ended under the container: the guest kernel panicked: Out of memory'
if grep -q "its kernel's messages: /run/katavm/boot/[0-9a-f]* " said; then pass "and where its log is"; else
	fail "and where its log is" <said; fi
expect_match "which says it too" 'Kernel panic - not syncing: Out of memory' katavm logs --boot

start --name alone --label colour=blue "$image" sh -c 'echo ready; sleep 100'
expect_failure "a name that is taken" 125 'in use by a running container' run --name alone "$image" true
expect_match "its name, image and labels are in its file" '"image":"oci:.*"labels":{"colour":"blue"}' \
	cat /run/katavm/containers/alone.json
kill -9 "$pid"
wait "$pid" 2>/dev/null
gone() { # the kernel ends the VM with its katavm; taking it apart may last
	[ -n "$vmm" ] || return 1
	for _ in $(seq 600); do
		kill -0 "$vmm" 2>/dev/null || return 0
		sleep 0.1
	done
	ps ax
	return 1
}
check "no VM survives katavm" gone
expect_output "and its name is free again" again run --name alone "$image" echo again
if [ -z "$(ls /run/katavm/containers)" ]; then pass "no file of it is left"; else
	find /run/katavm | fail "no file of it is left"; fi

start "$image" sh -c 'trap "echo stopped; exit 3" TERM; echo ready; while :; do sleep 1; done'
kill -TERM "$pid"
ended "SIGTERM reaches the process" 3 stopped
start --stop-signal USR1 --stop-timeout 2 "$image" sh -c 'trap "echo usr1" USR1; echo ready; while :; do sleep 1; done'
kill -TERM "$pid"
ended "--stop-signal, then --stop-timeout" 137 usr1
start "$image" sh -c 'n=0; trap "n=\$((n + 1)); echo hup \$n" HUP; trap "echo quit; exit 4" QUIT; echo ready; while :; do sleep 1; done'
for n in 1 2 3; do
	kill -HUP "$pid"
	until grep -qx "hup $n" said || ! kill -0 "$pid" 2>/dev/null; do sleep 0.3; done
done
kill -QUIT "$pid"
ended "SIGHUP is the process's as often as it comes" 4 'quit'
if grep -q third said; then fail "and no wish to stop" <said; else pass "and no wish to stop"; fi
