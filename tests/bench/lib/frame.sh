# shellcheck shell=bash disable=SC2154
# What the benches of devices have in common, on the machine's side: a guest with some programs, booted by katavm and by QEMU's
# microvm with the same kernel in one lab, and rows that compare them. A bench NAME is two files:
#     tests/bench/NAME.sh            sources this, says what the guest needs, calls bench_measure
#     tests/bench/lib/NAME-inside.sh runs in the lab, sources inside.sh, boots both VMs and prints rows
# and one that runs in the guest, given to bench_guest. A row is a line
#     row NAME UNIT higher|lower KATAVM PEER
# (and, for the reader only, lines "note TEXT"), where the fourth word says which is better. A name that comes several times is as many rounds; its medians count.
. "$(dirname "${BASH_SOURCE[0]}")/../../lab/common.sh"
bench_lib=$top/tests/bench/lib

# bench_arguments NAME ARGUMENT...: leaves $json, $rounds, $mode (exact or parallel) and a fresh folder $KATAVM_RESULTS. A bench
# whose parts can be run alone names them in $bench_parts before; those asked for, or all, are in $parts then.
bench_arguments() {
	local name=$1
	shift
	json=/dev/null rounds="" mode=exact parts=""
	while [ $# -gt 0 ]; do
		case " ${bench_parts:-} " in
		*" $1 "*) parts="$parts $1"; shift; continue ;;
		esac
		case $1 in
		--json) json=$(realpath -m "${2:?--json needs a file}"); shift 2 ;;
		--rounds) rounds=${2:?--rounds needs a number}; shift 2 ;;
		--parallel) mode=parallel; shift ;;
		*) die "bench $name: unknown argument \"$1\"; usage: ./dev bench $name${bench_parts:+ [$bench_parts]} [--json FILE] [--rounds N] [--parallel]" ;;
		esac
	done
	# The instruction clock repeats itself, but how many threads on one processor take turns need not; elsewhere the machine's
	# other work is in the numbers, too.
	[ -n "$rounds" ] || { [ "$mode" = exact ] && rounds=3 || rounds=5; }
	parts=${parts:-${bench_parts:-}}
	bench_name=$name
	export KATAVM_RESULTS=$results/bench-$name
	rm -rf "$KATAVM_RESULTS"
	mkdir -p "$KATAVM_RESULTS"
}

# bench_guest SCRIPT PROGRAM...: an initramfs whose init runs SCRIPT (busybox sh) with these programs of the machine in /bin.
bench_guest() {
	local script=$1 tree=$KATAVM_RESULTS/tree
	shift
	mkdir -p "$tree"/{bin,dev,proc,sys,tmp,run,etc,root}
	cp /bin/busybox "$tree/bin/"
	ln -s busybox "$tree/bin/sh"
	install -m 755 "$bench_lib/guest-init" "$tree/init"
	install -m 755 "$script" "$tree/bench"
	for program in "$@"; do
		program=$(command -v "$program")
		cp -L "$program" -t "$tree/bin"
		ldd "$program" 2>/dev/null | grep -o '/[^ ]*' || true
	done | sort -u | xargs -r cp -L --parents -t "$tree"
	(cd "$tree" && find . | cpio --quiet -o -H newc) >"$KATAVM_RESULTS/guest.cpio"
	rm -rf "$tree"
}

# Debian's fio brings 80 MB of libraries for storage that nobody has here, and loading them would be most of what is executed: it is
# built from the same source without them, once, and its path printed.
bench_fio() {
	local dir=$cache/bench/fio
	if [ ! -x "$dir/fio" ]; then
		mkdir -p "$cache/bench"
		exec 8>"$cache/bench/lock"
		flock 8
		[ -x "$dir/fio" ] || step "building fio for guests" "$cache/log/bench-fio" build_fio "$dir" || exit 125
		exec 8>&-
	fi
	echo "$dir/fio"
}

build_fio() { # DIR
	local dir=$1 work=$1.new release uri options
	rm -rf "$work"
	mkdir -p "$work/lists/partial" "$work/archives/partial"
	release=$(. /etc/os-release && echo "$VERSION_CODENAME")
	# shellcheck disable=SC2016
	uri=$(apt-get indextargets --format '$(SITE) $(RELEASE)' 'Created-By: Packages' |
		awk -v release="$release" '$2 == release { print $1; exit }')
	echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri $release main" >"$work/sources.list"
	options=(-q -o "Dir::State::lists=$work/lists" -o "Dir::Cache::archives=$work/archives" -o Dir::Cache::pkgcache=
		-o Dir::Cache::srcpkgcache= -o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=/dev/null
		-o APT::Sandbox::User=root)
	cd "$work" &&
		apt-get "${options[@]}" update &&
		apt-get "${options[@]}" --download-only source fio &&
		mkdir source && tar -C source --strip-components 1 -xf fio_*.orig.tar.gz && cd source &&
		./configure --build-static --disable-native --disable-numa --disable-rdma --disable-rados --disable-rbd --disable-gfapi \
			--disable-http --disable-pmem --disable-libzbc --disable-tcmalloc --disable-xnvme --disable-libnfs &&
		make -j2 fio && strip fio && mv fio .. && cd / && rm -rf "$work"/{source,lists,archives} && mv "$work" "$dir"
}

# bench_measure ARGUMENT...: runs NAME-inside.sh OUT ARGUMENT... in a lab of its own, prints the table and writes the JSON.
bench_measure() {
	local lab=(bash "$lab_dir/lab.sh" --fresh)
	[ "$mode" = parallel ] || lab=(bash "$lab_dir/lab.sh" --exact)
	# A lab whose clock stands still ends no wait of its own.
	local limit=$((1800 + rounds * 1800))
	say "bench $bench_name: measuring, $mode mode, $rounds round(s), for $((limit / 60)) minutes at most"
	timeout --foreground --kill-after=30 "$limit" "${lab[@]}" bash "$bench_lib/$bench_name-inside.sh" "$out" "$@" >"$KATAVM_RESULTS/log" 2>&1 || {
		[ $? -ne 124 ] || say "bench $bench_name: stopped after $((limit / 60)) minutes; the last line tells where"
		tail -n 30 "$KATAVM_RESULTS/log" >&2
		die "bench $bench_name: the measurement failed; its output is in $KATAVM_RESULTS/log"
	}
	tr -d '\r' <"$KATAVM_RESULTS/log" | grep '^row ' >"$KATAVM_RESULTS/rows" || die "bench $bench_name: no rows"
	awk -v json="$json" -f "$bench_lib/rows.awk" "$KATAVM_RESULTS/rows"
	tr -d '\r' <"$KATAVM_RESULTS/log" | sed -n 's/^note /  /p'
}
