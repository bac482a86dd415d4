#!/bin/bash
# timeout: 900
# runs: machine
# The processors of a lab that has two see text that the other has changed: a static key of the scheduler is flipped while
# both run through it. Where qemu.sh chose the wrong QEMU this lab stops within a minute and the file times out.
. "$(dirname "$0")/../lib.sh"
cat >"$work/flip" <<'END'
yes | cat >/dev/null &
yes | cat >/dev/null &
for _ in $(seq 150); do
	echo 1 >/proc/sys/kernel/sched_schedstats
	echo 0 >/proc/sys/kernel/sched_schedstats
done
kill %1 %2
nproc
dmesg | grep -c "Oops: int3"
END
expect_match "text is changed under running processors" '^2$' \
	"$checkout/dev" lab --fresh --cpus 2 bash "$work/flip"
if [ "$(tail -n 1 <<<"$output")" = 0 ]; then pass "without an oops"; else seen | fail "without an oops"; fi
