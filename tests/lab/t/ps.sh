#!/bin/bash
# What other katavm processes see of running containers, and what is left of one that was killed.
. "$(dirname "$0")/../lib.sh"
cd "$work" || exit 1
bash "$checkout/tests/lab/small-image.sh" "$work/image" >/dev/null 2>&1
image=oci:$work/image:small
state=/run/katavm/containers

mkfifo hold ready
katavm run --timeout 600 -q -i --name first -m 100m "$image" sh -c 'echo up; cat' <hold >ready &
first=$!
exec 7>hold
read -r _ <ready
observe katavm ps
id=$(awk 'NR == 2 { print $1 }' <<<"$output")
if [[ $output == *"$image"*"100 MiB"*"$first"*first ]]; then pass "ps shows it"; else seen | fail "ps shows it"; fi
expect_match "ps --format json" "\"name\":\"first\".*\"vmm_pid\":[0-9]+" katavm ps --format json
expect_output "ps -q" "$id" katavm ps -q
expect_output "ps -q --no-trunc is the whole id" 65 sh -c 'katavm ps -q --no-trunc | wc -c'
expect_match "stats --devices" 'virtio-blk +scratch' katavm stats --devices first
expect_match "stats --devices --format json" '"device":"virtio-vsock".*"in_flight":[0-9]+' katavm stats --devices --format json first
expect_failure "stats of what does not run" 1 'none' katavm stats --devices none
expect_failure "stats without --devices" 125 'only --devices' katavm stats first
expect_failure "a name in use" 125 'in use by a running container' katavm run --name first "$image" true
mkfifo hold2 ready2
katavm run --timeout 600 -q -i --name other "$image" sh -c 'echo up; cat' <hold2 >ready2 &
other=$!
exec 8>hold2
read -r _ <ready2
kill -STOP "$first"
expect_match "ps lists one that is stopped" " no answer +$first +first\$" timeout 120 katavm ps
expect_match "and the others" " MiB +$other +other\$" timeout 120 katavm ps
expect_match "and so in JSON" '"answers":false.*"name":"first"' timeout 120 katavm ps --format json
expect_failure "who asks only it is told" 1 'does not answer: it may be stopped' timeout 120 katavm disk ls first
kill -CONT "$first"
exec 8>&-
wait "$other"
expect_match "and is told when it goes on" ' first$' katavm ps
exec 7>&-
wait "$first"
expect_output "an ended one is not listed" "" katavm ps -q
expect_output "nothing is left of it" "" ls "$state"

katavm run --timeout 600 -q -i "$image" sh -c 'echo up; cat' <hold >ready &
second=$!
exec 7>hold
read -r _ <ready
{ kill -KILL "$second"; wait "$second"; } 2>/dev/null
exec 7>&-
expect_output "a killed one is not listed" "" katavm ps -q
if [ -n "$(ls "$state")" ]; then pass "its files are there"; else fail "its files are there" </dev/null; fi
check "the next run works" katavm run --timeout 600 -q "$image" true
expect_output "and has swept them away" "" ls "$state"
