#!/bin/bash
# timeout: 2400
# Twenty containers at once.
. "$(dirname "$0")/../lib.sh"
cd "$work" || exit 1
bash "$checkout/tests/lab/small-image.sh" "$work/image" >/dev/null 2>&1
image=oci:$work/image:small
katavm run --timeout 600 -q "$image" true
for i in $(seq 20); do
	timeout -k 20 2000 katavm run --timeout 1800 -m 48m --name "many-$i" "$image" sh -c "echo number $i; exit $i" >"out.$i" 2>&1 &
	pids[i]=$!
done
good=0
for i in $(seq 20); do
	status=0
	wait "${pids[$i]}" || status=$?
	if [ "$status" = "$i" ] && grep -q "^number $i$" "out.$i"; then good=$((good + 1)); else
		echo "$i: status $status: $(cat "out.$i")" >>bad
	fi
done
if [ "$good" = 20 ]; then pass "twenty at once"; else fail "twenty at once" <bad; fi
