#!/bin/bash
# ./dev bench blk [--json FILE] [--rounds N] [--parallel]: fio in a guest on one disk, against QEMU's virtio-blk-device
# with aio=io_uring and an iothread. The disk is memory of the lab (brd), opened with O_DIRECT by both: what is measured
# is the way to the disk. In exact mode the lab has one processor and a row compares the instructions a request costs in
# guest, host and VMM together; --parallel uses the host's processors and the clock on the wall, interleaved, medians.
set -euo pipefail
. "$(dirname "$0")/lib/frame.sh"
bench_arguments blk "$@"
bench_guest "$bench_lib/blk-guest" "$(bench_fio)"
bench_measure "$rounds"
