#!/bin/bash
# timeout: 900
# The guest's clock follows the host's, and a guest that does not answer is told of.
. "$(dirname "$0")/../lib.sh"
cd "$work" || exit 1
bash "$checkout/tests/lab/small-image.sh" "$work/image" >/dev/null 2>&1
image=oci:$work/image:small
exec 9>/dev/null

start() { # OPTION... : a container that tells the time when it is asked; leaves $pid and $vmm
	rm -f said asks
	mkfifo asks
	katavm run -q -i --network none --timeout 600 "$@" "$image" sh -c \
		'echo ready; while read -r name; do echo "$name $(date +%s)"; done' <asks >said 2>errors &
	pid=$!
	exec 9>asks
	for _ in $(seq 6000); do
		grep -qx ready said 2>/dev/null && break
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.1
	done
	vmm=$(pgrep -x -P "$pid" katavm-vmm)
}
end() {
	exec 9>/dev/null
	wait "$pid"
}
ask() { # prints the guest's time; between $before and $after of the host's
	local name
	name=q$(date +%N)$RANDOM
	before=$(date +%s)
	echo "$name" >&9
	for _ in $(seq 3000); do
		guest=$(sed -n "s/^$name //p" said)
		[ -n "$guest" ] && break
		sleep 0.1
	done
	after=$(date +%s)
	[ -n "$guest" ]
}
agrees() { # within some minutes: the guest's second is one of those in which it was asked
	for _ in $(seq 100); do
		ask && [ "$guest" -ge $((before - 1)) ] && [ "$guest" -le $((after + 1)) ] && return 0
		sleep 0.5
	done
	echo "the guest says $guest, the host $before to $after"
	return 1
}

start
check "the guest knows the time" agrees
kill -STOP "$vmm"
sleep 6
kill -CONT "$vmm"
check "also when its VMM was stopped for a while" agrees
date -s @$(($(date +%s) + 3600)) >/dev/null
check "the host's clock is set forward, and the guest's follows" agrees
date -s @$(($(date +%s) - 3600)) >/dev/null
check "and back" agrees
check "it ends" end
if grep -q answer errors; then fail "nothing is said about a guest that answers" <errors; else
	pass "nothing is said about a guest that answers"
fi

said_of_it() { # REGEX, within some minutes
	for _ in $(seq 3000); do
		grep -qE "$1" errors && return 0
		sleep 0.1
	done
	cat errors
	return 1
}
start --watchdog 20 --name clock
kill -STOP "$vmm"
expect_failure "a VMM that stands still cannot be asked" 1 "does not answer" katavm update -m 600m clock
check "a guest that does not answer is told of" said_of_it 'has not answered for 20 seconds'
check "its katavm waits for it" kill -0 "$pid"
kill -CONT "$vmm"
check "it answers again, which is told, too" said_of_it 'answers again'
check "it works, though an answer came late" agrees
check "and can be asked" katavm update -m 650m clock
check "and ends" end

start --watchdog 20 --watchdog-kill
kill -STOP "$vmm"
expect_status "the VM of one that must not hang is ended" 125 end
check "which is said" grep -q 'ending the VM' errors
gone() { # the host tears a VM down after its katavm has ended
	for _ in $(seq 600); do
		kill -0 "$vmm" 2>/dev/null || return 0
		sleep 0.1
	done
	return 1
}
check "nothing of it is left" gone

start --stop-timeout 2
kill -STOP "$vmm"
kill -TERM "$pid"
expect_status "one that is to stop and stands still is ended, too" 137 end
check "and that is said" grep -q 'has not ended 10 seconds after SIGKILL' errors
check "nothing of it is left, either" gone
