#!/bin/bash
# timeout: 1200
# The shortest way through everything: an image is imported, and its containers run in virtual machines.
. "$(dirname "$0")/../lib.sh"
cd "$work" || exit 1
bash "$checkout/tests/lab/small-image.sh" "$work/image" >/dev/null 2>&1
image=oci:$work/image:small
run() { timeout -k 20 700 katavm run --timeout 600 "$@"; } # a slow host is none of katavm's failures

expect_output "without a command the image's is run" "of the image" run -q "$image"
expect_status "the exit status is the process's" 42 run "$image" sh -c 'exit 42'
expect_failure "127: not found" 127 'executable file not found' run "$image" nosuchcommand
expect_failure "a flag of a later release" 125 'not in this release' run -d "$image" true
