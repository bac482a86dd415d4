#!/bin/bash
# ./dev bench fs [--json FILE] [--rounds N] [--parallel]: a shared folder of the lab's memory in a guest, against QEMU with
# Debian's virtiofsd (the one written in C), both as they are by default. fio on one file; then what people do: a source tree
# unpacked, git status in it, 10,000 small files made, listed and removed.
set -euo pipefail
. "$(dirname "$0")/lib/frame.sh"
bench_arguments fs "$@"
# A tree of 1,000 files in 100 folders, of one to sixteen KiB, and its history.
tree=$KATAVM_RESULTS/source
for i in $(seq 100); do
	mkdir -p "$tree/dir$((i % 10))/sub$i"
	for j in $(seq 10); do
		head -c $(((i * j % 16 + 1) * 1024)) /dev/zero | tr '\0' "$(printf '\\%03o' $((97 + j)))" >"$tree/dir$((i % 10))/sub$i/file$j"
	done
done
(
	export HOME=/nonexistent GIT_CONFIG_NOSYSTEM=1
	cd "$tree"
	git -c init.defaultBranch=main init -q
	git add .
	git -c user.name=bench -c user.email=bench@localhost commit -q -m tree
)
tar -C "$tree" -cf "$KATAVM_RESULTS/source.tar" .
rm -rf "$tree"
bench_guest "$bench_lib/fs-guest" "$(bench_fio)" git
# shellcheck disable=SC2119 # in exact mode
bench_measure
