#!/bin/bash
# What an x86_64 guest kernel does between its entry and its first process, counted in instructions. QEMU emulates the guest on
# the machine itself, one instruction a nanosecond, so the numbers are the same everywhere.
# usage: boot-time.sh VMLINUX [--profile] [--written FILE] [--memory MIB] [PARAMETER...]
# Prints one line; with --profile also the functions that take the time and those that touch memory first. --written makes FILE,
# the pages of the image that the kernel writes to: pairs of 32-bit numbers, a page and how many from there.
# The emulated machine has neither kvm-clock nor a TSC deadline timer: what the kernel does only for want of
# these (calibrating timers against each other) is left out. Faults and exits of a real guest come on top.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
vmlinux=${1:?usage: boot-time.sh VMLINUX [--profile] [--memory MIB] [PARAMETER...]}
shift
profile='' memory=256 written=''
while [ $# -gt 0 ]; do
  case $1 in
    --profile) profile=1 ;;
    --written) written=$2; shift ;;
    --memory) memory=$2; shift ;;
    *) break ;;
  esac
  shift
done
map=$(dirname "$vmlinux")/System.map
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

gcc -O2 -shared -fPIC -o "$dir/count.so" "$here/profile/count.c"
gcc -O2 -static -nostdlib -ffreestanding -fno-pie -no-pie -fno-stack-protector -fcf-protection=none -Wl,-Ttext-segment=0x400000 \
  -o "$dir/init" "$here/profile/init.c"
(cd "$dir" && echo init | cpio -o -H newc --quiet > init.cpio)
status=0
timeout 300 qemu-system-x86_64 -M microvm,rtc=off,isa-serial=off,x-option-roms=off -accel tcg -icount shift=0,sleep=off -cpu max \
  -m "$memory" -nodefaults -no-user-config -display none -no-reboot -kernel "$vmlinux" -initrd "$dir/init.cpio" \
  -append "panic=-1 noreplace-smp tsc=reliable tsc_early_khz=1000000 rcupdate.rcu_expedited=1 cgroup_no_v1=all swiotlb=noforce slab_max_order=1 no_timer_check $*" \
  -device isa-debug-exit,iobase=0x600,iosize=2 \
  -plugin "$dir/count.so,out=$dir/counts${profile:+,mem=on}${written:+,mem=on}" > "$dir/log" 2>&1 || status=$?
# isa-debug-exit turns the byte written to the port into the status 2*byte+1: 3 is power-off.
[ "$status" = 3 ] && [ -s "$dir/counts" ] || { echo "boot-time: the guest did not reach its init (status $status)"; cat "$dir/log"; exit 1; } >&2

if [ -n "$written" ]; then
  python3 "$here/profile/written.py" "$map" "$dir/counts" "$written"
fi
awk -v profile="$profile" -v memory="$memory" '
  function hex(s,   i, n) { n = 0; s = tolower(s); for (i = 1; i <= length(s); i++) n = n * 16 + index("0123456789abcdef", substr(s, i, 1)) - 1; return n }
  # Addresses of the kernel are told apart by their last eight digits.
  function function_at(s,   a, low, high, mid) {
    if (length(s) < 16) return "(before virtual addresses)"
    a = hex(substr(s, 9)); low = 1; high = symbols
    while (low < high) { mid = int((low + high + 1) / 2); if (at[mid] <= a) low = mid; else high = mid - 1 }
    return name[low]
  }
  FNR == NR { if (length($1) == 16 && $1 ~ /^ffffffff/ && $2 ~ /[tTwW]/) { at[++symbols] = hex(substr($1, 9)); name[symbols] = $3 } next }
  $1 == "T" { f = function_at($2); n = $3 * $4; if (f ~ /^(setup_boot_APIC_clock|delay_tsc|timer_irq_works|calibrate_APIC_clock)$/) next; took[f] += n; total += n; if (length($2) == 16) text[substr($2, 1, 13)] = 1 }
  $1 == "P" { pages++; written += $3; touched[function_at($4)]++ }
  END {
    printf "guest kernel: %.1f million instructions from entry to init (%d MiB, 1 processor)\n", total / 1e6, memory
    if (!profile) exit
    for (p in text) executed++
    printf "pages touched %d (%.1f MiB), of them written %d; pages of text executed %d\n", pages, pages / 256, written, executed
    for (f in took) if (took[f] > total / 1000) printf "%8.3f M %5.1f %%  %s\n", took[f] / 1e6, 100 * took[f] / total, f | "sort -rn"
    close("sort -rn")
    print "first touch of pages:"
    for (f in touched) if (touched[f] >= 8) printf "%6d  %s\n", touched[f], f | "sort -rn"
  }' <(sort -s -k1,1 "$map") "$dir/counts"
