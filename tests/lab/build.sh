#!/bin/bash
# ./dev build: packages, guest kernel, katavm; assembled in out/ as it would be installed.
set -eu
. "$(dirname "$0")/common.sh"
need_packages

vmlinux=$(bash "$top/guest-kernel/build.sh" | tail -n 1)
[ -e "$vmlinux" ] || die "the guest kernel was not built"

options=(-Dwerror="$([ -n "${KATAVM_WERROR:-}" ] && echo true || echo false)")
if [ ! -e "$build/build.ninja" ]; then
	step "configuring katavm" "$cache/log/configure-$(basename "$top")" meson setup "$build" "$top" "${options[@]}"
fi
# ninja is silent when there is nothing to do, so that a second run shows the real work only.
if ! ninja -C "$build" -n | grep -q 'no work to do'; then
	say "building katavm"
	ninja -C "$build" >"$build/dev.log" || { grep -v '^\[' "$build/dev.log" | tail -n 60 >&2; die "the build failed"; }
fi

# Newer files only, holes kept: the empty disks are larger than what they hold.
place() { # FILE TARGET
	[ -e "$2" ] && [ ! "$1" -nt "$2" ] && return
	mkdir -p "$(dirname "$2")"
	cp --sparse=always "$1" "$2.new"
	mv "$2.new" "$2"
}
place "$build/runtime/katavm" "$out/bin/katavm"
place "$build/agent/initramfs.cpio" "$out/lib/katavm/initramfs.cpio"
place "$build/runtime/scratch.ext4" "$out/lib/katavm/scratch.ext4"
place "$build/runtime/scratch-small.ext4" "$out/lib/katavm/scratch-small.ext4"
if ! cmp -s "$vmlinux" "$out/lib/katavm/vmlinux"; then
	cp "$vmlinux" "$out/lib/katavm/vmlinux.new"
	mv "$out/lib/katavm/vmlinux.new" "$out/lib/katavm/vmlinux"
fi
