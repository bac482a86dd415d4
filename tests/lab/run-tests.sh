#!/bin/bash
# Runs files of checks, tests/lab/t/*.sh or those named, in one lab of their own. Ends with "N passed, N failed".
set -eu
. "$(dirname "$0")/common.sh"
logs=$results/lab-tests
mkdir -p "$logs"
export KATAVM_LAB=test.$$
lab=(bash "$lab_dir/lab.sh")
trap '"${lab[@]}" --stop' EXIT
trap 'exit 130' INT TERM HUP

if [ $# -gt 0 ]; then
	files=()
	for name in "$@"; do files+=("$lab_dir/t/$(basename "$name" .sh).sh"); done
else
	files=("$lab_dir"/t/*.sh)
fi

setting() { sed -n "s/^# $2: *//p" "$1" | head -n 1; }

# The limit is kept inside the lab; one that stands still does not keep it. The next file gets another lab.
give_up() { # CHILD FILE
	echo "not ok $(basename "$2" .sh): it did not end within its time, and nothing ended it"
	[ "$(setting "$2" runs)" = machine ] || "${lab[@]}" --state || true
	kill -KILL "$1" 2>/dev/null || true
	"${lab[@]}" --stop || true
}

passed=0 failed=0
for file in "${files[@]}"; do
	[ -e "$file" ] || die "there is no file of checks $file"
	name=$(basename "$file" .sh)
	log=$logs/$name.log
	limit=$(setting "$file" timeout)
	if [ $# -eq 0 ] && [ -n "$(setting "$file" 'by name only')" ]; then
		say "checks in $name: left out ($(setting "$file" 'by name only')); ./dev test lab $name runs them"
		continue
	fi
	start=$SECONDS rc=0
	if [ "$(setting "$file" runs)" = machine ]; then
		command=(env PATH="$out/bin:$PATH" timeout -k 5 "${limit:-300}" bash "$file")
	else
		hardware_kvm || "${lab[@]}" --status >/dev/null || "${lab[@]}" --start
		command=("${lab[@]}" timeout -k 5 "${limit:-300}" bash "$file")
	fi
	say "checks in $name …"
	"${command[@]}" >"$log" 2>&1 </dev/null &
	child=$!
	while kill -0 "$child" 2>/dev/null; do
		sleep 0.2
		[ $((SECONDS - start)) -lt $((${limit:-300} + 60)) ] || give_up "$child" "$file" >>"$log" 2>&1
		[ $(((SECONDS - start + 1) % 30)) -ne 0 ] || {
			say "checks in $name … $((SECONDS - start)) s: $(grep -E '^(not )?ok ' "$log" | tail -n 1)"
			sleep 1
		}
	done
	wait "$child" || rc=$?
	good=$(grep -c '^ok ' "$log") || true
	bad=$(grep -c '^not ok ' "$log") || true
	# A file that ended early or made no check is a failure of its own.
	if [ "$rc" -ne 0 ] && [ "$bad" -eq 0 ] || [ "$good" -eq 0 ] && [ "$bad" -eq 0 ]; then
		bad=1
		echo "not ok $name ended with status $rc" >>"$log"
		tail -n 20 "$log" >&2
	fi
	passed=$((passed + good)) failed=$((failed + bad))
	awk '/^not ok /{show=1} /^ok /{show=0} show' "$log" >&2
	say "checks in $name: $good passed, $bad failed ($((SECONDS - start)) s)"
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
