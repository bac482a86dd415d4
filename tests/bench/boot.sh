#!/bin/bash
# ./dev bench boot [--json FILE] [--runs N]: what a run of a container costs, stage by stage, in the lab's exact mode
# (1 ims = a million executed instructions), and beside it QEMU's microvm booting the same kernel to an init that prints a line.
# Every figure is the median of N runs (3) behind one that is not counted.
set -euo pipefail
. "$(dirname "$0")/../lab/common.sh"

json="" runs=3
while [ $# -gt 0 ]; do
	case $1 in
	--json) json=$(realpath -m "${2:?--json needs a file}"); shift 2 ;;
	--runs) runs=${2:?--runs needs a number}; shift 2 ;;
	*) die "bench boot: unknown argument \"$1\"; usage: ./dev bench boot [--json FILE] [--runs N]" ;;
	esac
done

export KATAVM_RESULTS=$results/bench-boot
rm -rf "$KATAVM_RESULTS"
mkdir -p "$KATAVM_RESULTS/peer"
say "bench boot: preparing"
gcc -O2 -o "$KATAVM_RESULTS/elapsed" "$top/tests/bench/elapsed.c"
gcc -O2 -static -o "$KATAVM_RESULTS/peer/init" "$top/tests/bench/hello_init.c"
(cd "$KATAVM_RESULTS/peer" && echo init | cpio --quiet -o -H newc >../peer.cpio)
# Importing needs no KVM, so it happens here and not on the slow side.
"$out/bin/katavm" --root "$KATAVM_RESULTS/store" load -q -i "$(bash "$lab_dir/demo-image.sh")" >/dev/null
image=$("$out/bin/katavm" --root "$KATAVM_RESULTS/store" images -q | head -n 1)

say "bench boot: measuring in exact mode ($((runs + 1)) runs each)"
bash "$lab_dir/lab.sh" --exact sh "$top/tests/bench/boot-inside.sh" "$out" "$image" "$runs" >"$KATAVM_RESULTS/log" 2>&1 || {
	tail -n 30 "$KATAVM_RESULTS/log" >&2
	die "bench boot: the measurement failed; its output is in $KATAVM_RESULTS/log"
}
awk -v json="${json:-/dev/null}" -f "$top/tests/bench/boot.awk" "$KATAVM_RESULTS"/trace.* "$KATAVM_RESULTS/qemu"
