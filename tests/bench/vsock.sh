#!/bin/bash
# ./dev bench vsock [--json FILE] [--rounds N] [--parallel]: a program in a guest and one on the host talk over a vsock stream,
# against QEMU with vhost-vsock, where the host's kernel is the device. There the program listens on AF_VSOCK; katavm
# joins the stream to a Unix socket.
set -euo pipefail
. "$(dirname "$0")/lib/frame.sh"
bench_arguments vsock "$@"
gcc -O2 -static -o "$KATAVM_RESULTS/vsock_talk" "$bench_lib/vsock_talk.c"
PATH=$KATAVM_RESULTS:$PATH bench_guest "$bench_lib/vsock-guest" vsock_talk
bench_measure "$rounds"
