#!/bin/bash
# ./dev bench net [--vhost] [--json FILE] [--rounds N] [--parallel]: iperf3 from a guest and to it, and round trips of one byte, against
# QEMU's virtio-net-device on the same tap, without vhost, with segmentation offloads. The other end is the lab itself. In exact mode
# the lab has one processor and a row compares the instructions that both ends, the host and the VMM execute together;
# With --vhost both have the host's kernel move the packets. --parallel uses the host's processors and the clock on the wall, interleaved, medians.
set -euo pipefail
. "$(dirname "$0")/lib/frame.sh"
vhost=off
[ "${1:-}" != --vhost ] || { vhost=on; shift; }
bench_arguments net "$@"
gcc -O2 -static -o "$KATAVM_RESULTS/net_rr" "$top/tests/bench/net_rr.c"
bench_guest "$bench_lib/net-guest" iperf3 "$KATAVM_RESULTS/net_rr"
bench_measure "$rounds" "$vhost"
