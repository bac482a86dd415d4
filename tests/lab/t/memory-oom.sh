#!/bin/bash
# timeout: 1200
# A guest that is out of memory takes back what the balloon had: nobody in it is killed while the host lent out its pages.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../told.sh"
cd "$work" || exit 1

available_mib() {
	tell "awk '/^MemAvailable:/ { print int(\$2 / 1024) }' /proc/meminfo"
	echo "$output"
}
ballooned() {
	for _ in $(seq 300); do
		[ "$(available_mib)" -le 130 ] && return 0
		sleep 0.5
	done
	return 1
}
start -m 320m --privileged --name lent
check "the guest has its memory" test "$(available_mib)" -ge 200
check "most of it is taken" katavm update -m 80m lent
check "by the balloon" ballooned
# Privileged, it may use more than its limit; what the guest has then is not enough.
tell 'echo max >/sys/fs/cgroup/memory.max && cat /sys/fs/cgroup/memory.max'
expect_output "the limit is gone" max echo "$output"
tell 'dd if=/dev/zero bs=200M count=1 2>/dev/null | wc -c'
expect_output "200 MiB are had all the same" 209715200 echo "$output"
tell 'dmesg | grep -c "Out of memory"'
expect_output "and nobody was killed for it" 0 echo "$output"
check "and the container ends" end
