#!/bin/bash
# timeout: 600
# runs: machine
# A guest of the lab gets each interrupt once, whatever its emulator does meanwhile (tests/lab/mend_qemu.py). Without hardware
# virtualisation only: it is the emulator that is checked.
. "$(dirname "$0")/../lib.sh"
export KATAVM_FORCE_LAB=1 KATAVM_RESULTS=$work/results
check "its program is built" gcc -O2 -Wall -Werror -static -o "$work/interrupts" "$checkout/tests/lab/guest/interrupts.c"
expect_output "in exact mode" "taken 1000, while disabled 0" \
	"$checkout/dev" lab --exact timeout 60 "$work/interrupts"
expect_output "in the other one" "taken 1000, while disabled 0" \
	"$checkout/dev" lab --fresh timeout 200 "$work/interrupts"
# A program that is not the one it knows is left alone.
expect_status "something else is not mended" 2 python3 "$checkout/tests/lab/mend_qemu.py" /bin/busybox "$work/mended"
expect_status "and no copy made of it" 1 test -e "$work/mended"
