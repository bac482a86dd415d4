#!/bin/bash
# The lab itself: what goes in and comes out of a command, and the two clocks.
# runs: machine
# timeout: 1800
. "$(dirname "$0")/../lib.sh"
export KATAVM_LAB=self.$$ KATAVM_FORCE_LAB=1 KATAVM_RESULTS=$work/results
lab() { timeout 300 "$checkout/dev" lab "$@"; }
trap 'lab --stop; finish' EXIT

cd "$work" || exit 1
check "a lab starts" lab --start
check "it is seen" lab --status
expect_status "the exit status passes" 7 lab sh -c 'exit 7'
expect_status "a command that is not there" 127 lab no-such-command
expect_status "death by a signal is 128 and its number" 143 lab sh -c 'kill -TERM $$'
expect_output "/dev/kvm is there, and the flag" "yes" lab 'test -c /dev/kvm && grep -qwE "svm|vmx" /proc/cpuinfo && echo yes'
expect_output "the folder is the caller's" "$work" lab pwd
expect_output "words stay as they are" "it's \$x *" lab echo "it's" "\$x" '*'

from_pipe() { printf 'some\0bytes' | lab cat; }
observe from_pipe
expect_output "standard input is the caller's" "somebytes" from_pipe
observe lab 'echo one; echo two >&2'
if [ "$output" = one ] && [ "$errors" = two ]; then pass "output and errors are apart"; else seen | fail "output and errors are apart"; fi
large() { head -c 3000000 /dev/zero | lab cat | wc -c; }
expect_output "nothing of a large stream is lost" 3000000 large

with_terminal() { script -qec "$checkout/dev lab 'test -t 0 && test -t 1 && echo a terminal; exit 9'" /dev/null </dev/null; }
expect_status "a terminal's exit status" 9 with_terminal
expect_match "a terminal is one" "a terminal" with_terminal

lab 'echo kept >/results/note'
expect_output "results come back" kept cat "$work/results/note"
expect_status "the checkout cannot be changed" 1 lab "touch '$checkout/dev'"
mkdir seen
echo one >seen/file
expect_output "the machine's files are there" one lab cat "$work/seen/file"
echo two >seen/file.new
mv seen/file.new seen/file
expect_output "and are never old" two lab cat "$work/seen/file"

expect_status "the store is a disk" 0 lab mountpoint -q /var/lib/katavm
interrupted() {
	bash "$checkout/tests/lab/lab.sh" sleep 200 &
	sleep 5
	kill -TERM "$!"
	wait "$!"
}
expect_status "a signal ends the command" 143 interrupted
expect_status "and nothing of it is left" 1 lab pgrep -x sleep
expect_match "what its processors do can be seen" '^RIP=' lab --state
qemu=$(cat "/tmp/katavm-lab-$(id -u)/$KATAVM_LAB/pid")
kill -STOP "$qemu"
expect_match "one that stands still does not answer" 'does not answer' lab --state
check "and ends all the same" lab --stop
gone() { for _ in $(seq 300); do kill -0 "$1" 2>/dev/null || return 0; sleep 0.1; done; return 1; }
check "its emulator is gone" gone "$qemu"
# One that is told to end while it starts, too.
lab --start &
starting=$!
folder=/tmp/katavm-lab-$(id -u)/$KATAVM_LAB
until [ -s "$folder/pid" ] || ! kill -0 "$starting" 2>/dev/null; do sleep 0.1; done
qemu=$(cat "$folder/pid")
check "a lab that starts can be ended" lab --stop
wait "$starting"
check "with its emulator" gone "$qemu"
check "another one starts" lab --start
check "the lab ends" lab --stop
expect_status "and is gone" 1 lab --status

expect_status "exact mode passes the exit status" 5 lab --exact 'exit 5'
# The loop is timed by the shell itself, and only when it has run once: a page that is first fetched from the machine
# takes as long as the machine takes.
# shellcheck disable=SC2016
clock='loop() { s=${EPOCHREALTIME/./}; for ((i = 0; i < 20000; i++)); do :; done; e=${EPOCHREALTIME/./}; }; loop; loop; echo $((e - s))'
clock="exec bash -c '$clock'"
first=$(lab --exact "$clock")
second=$(lab --exact "$clock")
difference=$((first > second ? first - second : second - first))
if [ "$first" -gt 0 ] && [ $((difference * 1000)) -le "$first" ]; then pass "the instruction clock repeats itself"; else
	echo "first $first us, then $second us" | fail "the instruction clock repeats itself"
fi
