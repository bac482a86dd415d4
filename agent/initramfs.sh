#!/bin/sh
# initramfs.sh STRIP MKINITRAMFS AGENT OUT: the agent without its symbols as an initramfs.
set -eu
stripped=$4.init
trap 'rm -f "$stripped"' EXIT
"$1" -o "$stripped" "$3"
"$2" "$stripped" "$4"
