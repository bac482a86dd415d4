#!/bin/bash
# timeout: 900
# The lab's processors see text that another of them has changed: a static key of the scheduler is flipped while both run
# through it. Where qemu.sh chose the wrong QEMU this lab stops within a minute and the file times out.
. "$(dirname "$0")/../lib.sh"
yes | cat >/dev/null &
yes | cat >/dev/null &
flip() {
	for _ in $(seq 150); do
		echo 1 >/proc/sys/kernel/sched_schedstats
		echo 0 >/proc/sys/kernel/sched_schedstats
	done
}
check "text is changed under running processors" flip
kill %1 %2
expect_output "without an oops" 0 sh -c 'dmesg | grep -c "Oops: int3" || true'
