#!/bin/bash
# timeout: 1800
# A terminal: raw and back, its size, keys, and what remains when katavm is killed.
. "$(dirname "$0")/../lib.sh"
cd "$work" || exit 1
bash "$checkout/tests/lab/small-image.sh" "$work/image" >/dev/null 2>&1
run="katavm run --timeout 600"
on_terminal() { python3 "$checkout/tests/lab/terminal.py" "$@"; }
image=oci:$work/image:small
$run -q "$image" true # imported now

expect_failure "-t without a terminal" 125 'needs a terminal on stdin' katavm run -t "$image" true

shows() { # NAME REGEX
	if grep -qE -- "$2" <<<"$output"; then pass "$1"; else { echo "wanted $2 in:"; seen; } | fail "$1"; fi
}
same() { # NAME: what was shown first and last, the terminal's settings, is the same
	if [ -n "$output" ] && [ "$(head -n 1 <<<"$output")" = "$(tail -n 1 <<<"$output")" ]; then pass "$1"; else seen | fail "$1"; fi
}

inside='tty; stty size; echo err >&2; trap "stty size" WINCH; trap "echo caught; exit 5" INT; echo ready; while :; do sleep 1; done'
observe on_terminal 33x99 "stty -g; $run -it $image sh -c '$inside'; echo status \$?; stty -g" \
	see:ready size:20x70 'see:20 70' 'type:\x03'
shows "-t gives a terminal" '/dev/pts/0'
shows "of the caller's size" '^33 99$'
shows "with stderr on it" '^err$'
shows "which changes as the caller's does" '^20 70$'
shows "Ctrl-C is a key for the process" '^(\^C)?caught$'
shows "which ends as it likes" '^status 5$'
same "the terminal is as before"

observe on_terminal 33x99 "stty -g; $run -it $image sh -c 'read line; echo \"got \$line\"'; stty -g" 'type:typed early\r'
shows "keys pressed before the process runs reach it" '^got typed early$'

# The VM is stopped while its terminal changes; its katavm has looked at the size when it listens. Were the process
# to run already it would get a signal, as above.
# shellcheck disable=SC2016
while_it_boots='until ls /run/katavm/containers/*.sock >/dev/null 2>&1; do sleep 0.02; done; vmm=$(pgrep -x katavm-vmm)
	kill -STOP $vmm; echo "it boots"; until [ "$(stty size <&3)" = "20 70" ]; do sleep 0.1; done; kill -CONT $vmm'
inside='for i in $(seq 100); do [ "$(stty size)" = "20 70" ] && break; sleep 0.3; done; stty size'
observe on_terminal 33x99 "exec 3<&0; ($while_it_boots) & $run -it $image sh -c '$inside'" 'see:it boots' size:20x70
shows "a size that changes while the VM boots" '^20 70$'

# Or it would sleep in a terminal that nobody reads. Its own descriptors 0 to 2 are not the container's.
# shellcheck disable=SC2016
modes='for fd in /proc/$VMM/fd/*; do case "${fd##*/} $(readlink "$fd")" in [012]" "*) ;; *" /dev/pts/"*)
	if [ $((0$(sed -n "s/^flags:[[:space:]]*//p" "${fd/fd/fdinfo}") & 04000)) != 0 ]; then echo "never blocks"; else echo "blocks"; fi ;; esac; done'
observe on_terminal 33x99 "$run -it $image sh -c 'echo ready; read line'" see:ready "sh:$modes" 'type:\r'
if [ "$(grep -c '^never blocks$' <<<"$output")" = 2 ] && ! grep -q '^blocks$' <<<"$output"; then
	pass "the VMM's copies of the terminal never block"
else
	seen | fail "the VMM's copies of the terminal never block"
fi

# shellcheck disable=SC2016
settle='for i in $(seq 600); do case $(stty -a) in *-icanon*) sleep 0.1 ;; *) break ;; esac; done'
observe on_terminal 33x99 "stty -g; $run -it $image sh -c 'echo ready; sleep 1000'; $settle; stty -g" see:ready kill:KILL
same "the terminal is as before also when katavm is killed"
observe on_terminal 33x99 "stty -g; $run -it $image sh -c 'echo ready; exec sleep 1000'; stty -g" \
	see:ready kill:TERM kill:TERM kill:TERM
shows "the third request to stop ends the VM" 'asked to stop for the third time'
same "and the terminal is as before"
