# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared with lab.sh
# Which QEMU emulates a lab host, and with what settings. Sourced by lab.sh.
#
# A lab has one processor. With several (tcg,thread=multi) QEMU may translate code while another processor writes it, and keep
# the stale translation for ever. A kernel that changes its own text by way of breakpoints (static keys, which each
# start and end of a VM flips) then executes a breakpoint that is long gone: the handler finds none and returns to
# it, endlessly, with the run queue's lock held. The host stands still, or a guest panics with "Oops: int3". QEMU 7.2
# stood still within a minute; 10.0.2, of the backports suite, takes longer: with a key flipped 150 times, one lab in six did on
# a busy machine (both processors in the handler, the text they return to without a breakpoint), and 2 of 180 guests ended with
# a triple fault. With one processor none did. Two labs side by side (run-tests.sh) use this machine's processors as well.
#
# QEMU's SVM changes a processor's word of pending interrupts without a lock at each entry into and exit from a guest,
# so one that another thread raises in that moment can be lost. nohz=off and highres=off leave the
# local timer periodic: the next tick, four milliseconds later, finds what was lost.
#
# QEMU's SVM gives a guest some of its interrupts twice, the second time within its handler, with interrupts disabled:
# mend_qemu.py tells how, and makes the copy that labs run. In exact mode it was one in nine of those whose handler takes
# 400,000 instructions (tests/lab/t/lab-interrupts.sh), and guests with a busy device waited for a lock of their own
# within seconds.
#
# On a busy machine the emulated processor stands still for longer than the kernel's test of the timer interrupt waits, and
# it panics ("IO-APIC + timer doesn't work"): no_timer_check leaves the test out.

qemu_settings="nohz=off highres=off no_timer_check"

# Prints the path of a copy of PROGRAM that is mended (mend_qemu.py says of what), or of PROGRAM where that cannot be done.
mended_qemu() { # PROGRAM
	local program key dir
	program=$(realpath "$1")
	key=$({ stat -c '%n %s %Y' "$program" && cat "$lab_dir/mend_qemu.py"; } | sha256sum | cut -c1-16)
	dir=$cache/lab/mended-$key
	if [ ! -x "$dir/qemu-system-x86_64" ]; then
		mkdir -p "$dir"
		python3 "$lab_dir/mend_qemu.py" "$program" "$dir/qemu-system-x86_64" >&2 || {
			rmdir "$dir"
			say "guests in the lab are given an interrupt twice now and then: $program is not known to tests/lab/mend_qemu.py"
			echo "$program"
			return
		}
	fi
	echo "$dir/qemu-system-x86_64"
}

# The distribution's program, mended, and its options, in qemu_program=(). From another folder it does not find its files
# by itself.
choose_qemu() {
	local module
	for module in /usr/lib/*/qemu/accel-tcg-x86_64.so; do export QEMU_MODULE_DIR=${module%/*}; done
	qemu_program=("$(mended_qemu "$(command -v qemu-system-x86_64)")" -L /usr/share/qemu -L /usr/share/seabios)
}
