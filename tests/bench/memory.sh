#!/bin/bash
# ./dev bench memory [--json FILE] [--rounds N] [--parallel]: what a VM costs the host beside the memory its guest uses, what an idle
# guest uses, and how much of 256 MiB is the host's again five seconds after the process that used them has ended; against QEMU with
# the same devices and its balloon's free page reporting.
set -euo pipefail
. "$(dirname "$0")/lib/frame.sh"
bench_arguments memory "$@"
bench_guest "$bench_lib/memory-guest"
bench_measure "$rounds"
