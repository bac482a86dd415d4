# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared with lab.sh
# Which QEMU emulates a lab host, and with what settings. Sourced by lab.sh.
#
# With several processors (tcg,thread=multi) QEMU before 8.1 may translate code while another processor writes it, and
# keep the stale translation for ever. A kernel that changes its own text by way of breakpoints (static keys, which each
# start and end of a VM flips) then executes a breakpoint that is long gone: the handler finds none and returns to
# it, endlessly, with the run queue's lock held. The host stands still, or a guest panics with "Oops: int3". Debian
# 12's own QEMU, 7.2, has this; the one in its backports suite has not. tests/lab/t/lab-text.sh provokes it.
#
# A lab has one processor unless it is asked for more. With two, three guests at a time, 2 of 180 ended with a triple
# fault, one while it booted and one while it ran, and a guest has stood still for ever; with one processor
# none of 90 did either. Several emulated processors do not gain much: two labs side by side (run-tests.sh) are faster.
#
# Any QEMU's SVM changes a processor's word of pending interrupts without a lock at each entry into and exit from a guest,
# so one that another thread raises in that moment can be lost. nohz=off and highres=off leave the
# local timer periodic: the next tick, four milliseconds later, finds what was lost.
#
# Any QEMU's SVM gives a guest some of its interrupts twice, the second time within its handler, with interrupts disabled:
# mend_qemu.py tells how, and makes the copy that labs run. In exact mode it was one in nine of those whose handler takes
# 400,000 instructions (tests/lab/t/lab-interrupts.sh), and guests with a busy device waited for a lock of their own
# within seconds. With two processors, exits of one that the other asks for have the same effect.
#
# On a busy machine the emulated processors stand still for longer than the kernel's test of the timer interrupt waits, and
# it panics ("IO-APIC + timer doesn't work"): no_timer_check leaves the test out.

qemu_settings="nohz=off highres=off no_timer_check"

qemu_is_new() { # PROGRAM [ARGUMENT…]
	local version
	version=$("$1" --version 2>/dev/null | sed -n 's/^QEMU emulator version \([0-9]*\)\.\([0-9]*\).*/\1 \2/p')
	# shellcheck disable=SC2086
	set -- $version
	[ "${1:-0}" -gt 8 ] || { [ "${1:-0}" -eq 8 ] && [ "$2" -ge 1 ]; }
}

# Index files of the suite go to a folder of their own, so that the machine's apt and packages stay as they are.
fetch_qemu() { # DIR
	local dir=$1 apt=$1.new/apt release uri options
	rm -rf "$dir".new
	mkdir -p "$apt/lists/partial" "$apt/archives/partial" "$dir".new/root
	release=$(. /etc/os-release && echo "$VERSION_CODENAME")
	# shellcheck disable=SC2016
	uri=$(apt-get indextargets --format '$(SITE) $(RELEASE)' 'Created-By: Packages' |
		awk -v release="$release" '$2 == release { print $1; exit }')
	[ -n "$uri" ] || { echo "no package source of $release is configured on this machine"; return 1; }
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri $release-backports main" >"$apt/sources.list"
	options=(-q -o "Dir::State::lists=$apt/lists" -o "Dir::Cache::archives=$apt/archives" -o Dir::Cache::pkgcache=
		-o Dir::Cache::srcpkgcache= -o "Dir::Etc::sourcelist=$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null
		-o APT::Sandbox::User=root)
	cd "$apt" || return 1
	apt-get "${options[@]}" update
	apt-get "${options[@]}" download qemu-system-x86 qemu-system-data seabios
	for package in ./*.deb; do dpkg -x "$package" "$dir.new/root"; done
	cd /
	rm -rf "$apt"
	qemu_is_new "$dir.new/root/usr/bin/qemu-system-x86_64" || {
		echo "the QEMU of $release-backports does not run here"
		return 1
	}
	mv "$dir.new" "$dir"
}

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

# The distribution's program, mended, in qemu_program=(). From another folder it does not find its files by itself.
distribution_qemu() {
	local module
	for module in /usr/lib/*/qemu/accel-tcg-x86_64.so; do export QEMU_MODULE_DIR=${module%/*}; done
	qemu_program=("$(mended_qemu "$(command -v qemu-system-x86_64)")" -L /usr/share/qemu -L /usr/share/seabios)
}

# Leaves the program and its options in qemu_program=(). Without a QEMU that is new enough the lab gets one processor, on
# which nothing can happen at the same time.
choose_qemu() {
	local kept=$cache/lab/qemu
	distribution_qemu
	if qemu_is_new qemu-system-x86_64; then return; fi
	if [ ! -d "$kept" ]; then
		exec 8>"$cache/lab/lock"
		flock 8
		[ -d "$kept" ] || step "fetching a newer QEMU for the lab" "$cache/log/lab-qemu" fetch_qemu "$kept" || true
		exec 8>&-
	fi
	if [ -d "$kept" ]; then
		qemu_program=("$(mended_qemu "$kept/root/usr/bin/qemu-system-x86_64")"
			-L "$kept/root/usr/share/qemu" -L "$kept/root/usr/share/seabios")
	else
		say "without a newer QEMU the lab has one processor"
		cpus=1
	fi
}
