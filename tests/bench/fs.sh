#!/bin/bash
# ./dev bench fs [PART…] [--json FILE] [--rounds N] [--parallel]: a shared folder of the lab's memory in a guest, against QEMU with
# Debian's virtiofsd (the one written in C), both as they are by default. Parts: "throughput" is fio on one file; the others are what
# people do: "tree" is a source tree unpacked and git status in it, "small" is 10,000 small files made, listed and removed;
# "few" is the same with 1,000 files, which are read, too, and runs only when it is asked for.
set -euo pipefail
. "$(dirname "$0")/lib/frame.sh"
# shellcheck disable=SC2034 # for frame.sh
bench_parts="throughput tree small few"
bench_arguments fs "$@"
[ "$parts" != "$bench_parts" ] || parts="throughput tree small"
# In exact mode a second is the better part of a minute, and what is counted repeats itself: one round says it.
case " $* " in
*" --rounds "*) ;;
*) [ "$mode" = parallel ] || rounds=1 ;;
esac
# A tree of 500 files in 50 folders, of one to sixteen KiB, and its history.
tree=$KATAVM_RESULTS/source
for i in $(seq 50); do
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
# shellcheck disable=SC2086 # $parts are words
bench_measure "$rounds" $parts
