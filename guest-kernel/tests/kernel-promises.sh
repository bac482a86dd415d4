#!/bin/bash
# The kernel in the cache holds what tests/promises and the fragments say, and its file has the form the VMM maps.
# usage: kernel-promises.sh [ARCH]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
arch=${1:-$(uname -m)}
vmlinux=$("$here/../build.sh" --arch "$arch" --find) || exit 1
config=$(dirname "$vmlinux")/config
failed=0
fail() { echo "FAIL: $*"; failed=1; }

"$here/../check-config.sh" "$config" "$here/../common.config" "$here/../$arch.config" || failed=1

while read -r verdict rest; do
  case $verdict in '#'* | '') continue ;; esac
  case ${rest%% *} in
    x86_64 | aarch64) [ "${rest%% *}" = "$arch" ] || continue ;;
  esac
  for option in ${rest##*: }; do
    if grep -q "^CONFIG_$option=y$" "$config"; then found=in; else found=out; fi
    [ "$found" = "$verdict" ] || fail "${rest%%:*}: CONFIG_$option is $found"
  done
done < "$here/promises"

header=$(readelf -hW "$vmlinux")
grep -q 'Type: *EXEC' <<< "$header" || fail "not an executable with fixed addresses"
sections=$(readelf -SW "$vmlinux")
for s in .text .rodata .data .bss .notes; do
  grep -q " $s " <<< "$sections" || fail "no section $s"
done
! grep -q ' \.debug_' <<< "$sections" || fail "debug information was left in"
# A page of the file has to be a page of the guest: offset and address agree below the page size.
while read -r offset address; do
  [ $((offset % 4096)) = $((address % 4096)) ] || fail "a segment at file offset $offset cannot be mapped at $address"
done < <(readelf -lW "$vmlinux" | awk '$1 == "LOAD" { print $2, $4 }')

[ "$failed" = 0 ] && echo "$(grep -cv '^\(#\|$\)' "$here/promises") promises kept by $(basename "$(dirname "$vmlinux")")"
exit "$failed"
