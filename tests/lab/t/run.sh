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

# katavm opens descriptors of its own, which are not to become the container's.
without() { # NAME REDIRECTION STDOUT/STDERR: what is closed is nobody's, and what is open is the container's
	observe bash -c "timeout -k 20 700 katavm run -q --timeout 600 $image sh -c 'echo out; echo err >&2; exit 7' $2"
	if [ "$status/$output/$errors" = "7/$3" ]; then pass "$1"; else seen | fail "$1"; fi
}
without "stdin and stdout are closed" '<&- >&-' /err
without "stdout and stderr are closed" '>&- 2>&-' /
without "all three are closed" '<&- >&- 2>&-' /
without "stdin alone is closed" '<&-' out/err
