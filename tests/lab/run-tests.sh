#!/bin/bash
# Runs files of checks, tests/lab/t/*.sh or those named, in labs of their own: one for each of two processors, each taking
# the next file when it is done with one. Ends with "N passed, N failed".
set -eu
. "$(dirname "$0")/common.sh"
logs=$results/lab-tests
mkdir -p "$logs"
lab=(bash "$lab_dir/lab.sh")
work=$(mktemp -d)
workers=()

end() {
	local pid
	for pid in "${workers[@]}"; do kill "$pid" 2>/dev/null || true; done
	wait
	rm -rf "$work"
}
trap end EXIT
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

run_file() { # FILE
	local file=$1 name log limit start=$SECONDS rc=0 command child good bad
	name=$(basename "$file" .sh)
	log=$logs/$name.log
	limit=$(setting "$file" timeout)
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
		[ $(((SECONDS - start + 1) % 60)) -ne 0 ] || {
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
	echo "$good $bad" >"$work/$name.count"
	awk '/^not ok /{show=1} /^ok /{show=0} show' "$log" >&2
	say "checks in $name: $good passed, $bad failed ($((SECONDS - start)) s)"
}

# The next file of the queue; the shell reads it byte by byte, so one at a time may.
next_file() {
	flock 8
	read -r file <&7
	flock -u 8
	[ -n "$file" ]
}

# Takes files from the queue until it gives an empty line.
work_on() { # NUMBER
	local file
	exec 8>"$work/lock"
	export KATAVM_LAB=test.$$.$1
	trap '"${lab[@]}" --stop' EXIT
	trap 'exit 130' INT TERM HUP
	while next_file; do run_file "$file"; done
}

# The longest first, so that none of them is left over for one lab alone.
for file in "${files[@]}"; do
	[ -e "$file" ] || die "there is no file of checks $file"
	if [ $# -eq 0 ] && [ -n "$(setting "$file" 'by name only')" ]; then
		name=$(basename "$file" .sh)
		say "checks in $name: left out ($(setting "$file" 'by name only')); ./dev test lab $name runs them"
	else
		limit=$(setting "$file" timeout)
		echo "${limit:-300} $file"
	fi
done | sort -srn | cut -d' ' -f2- >"$work/files"

mkfifo "$work/queue"
exec 7<>"$work/queue"
count=$(wc -l <"$work/files")
{ cat "$work/files"; echo; echo; } >&7 # an empty line ends one of them
for number in 1 2; do
	[ "$number" -le "$count" ] || break
	work_on "$number" &
	workers+=($!)
done
wait "${workers[@]}" || true
workers=()
[ "$(find "$work" -name '*.count' | wc -l)" -eq "$count" ] || die "not every file of checks was run"
passed=$(cat "$work"/*.count | awk '{ n += $1 } END { print n + 0 }')
failed=$(cat "$work"/*.count | awk '{ n += $2 } END { print n + 0 }')
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
