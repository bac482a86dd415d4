#!/bin/bash
# timeout: 300
# How a run ends: at once, and with nothing of it left behind.
. "$(dirname "$0")/../lib.sh"
cd "$work" || exit 1
bash "$checkout/tests/lab/small-image.sh" "$work/image" >/dev/null 2>&1
image=oci:$work/image:small

none_left() { # the host tears a VM down after its katavm has ended
	for _ in $(seq 300); do
		pgrep -x katavm-vmm >/dev/null || return 0
		sleep 0.1
	done
	ps ax
	return 1
}
expect_status "a run" 7 katavm run -q "$image" sh -c 'exit 7'
check "no VM is left of it" none_left

# The wait for the process is asked for before it is started: its answer must not cover the reason.
expect_failure "a command that is not there" 127 'no such file' katavm run -q "$image" /no/such
expect_failure "a command that is no program" 126 . katavm run -q "$image" /etc/motd
check "no VM is left of these" none_left

# What the container wrote is on the reader's side when katavm has ended, however slow the reader is.
slow_reader() { katavm run -q "$image" sh -c 'head -c 3000000 /dev/zero' | { sleep 3; wc -c; }; }
expect_output "all output has arrived by then" 3000000 slow_reader
check "no VM is left of it either" none_left

katavm run -q "$image" sh -c 'echo ready; sleep 1000' >said &
pid=$!
for _ in $(seq 300); do
	grep -q ready said && break
	sleep 0.1
done
check "while it runs, its VM is a process of that name" pgrep -x -P "$pid" katavm-vmm
kill -KILL "$pid"
wait "$pid" 2>/dev/null
check "a killed katavm leaves no VM" none_left
