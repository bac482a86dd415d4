#!/bin/bash
# ./dev fuzz [TARGET] [SECONDS]: libFuzzer on every target, or one. New inputs that reach new code go to the cache;
# what crashes is left in results/fuzz/.
set -eu
. "$(dirname "$0")/common.sh"
need_packages
target='' seconds=60
for word in "$@"; do
	case $word in
	*[!0-9]*) target=${word#fuzz_} ;;
	*) seconds=$word ;;
	esac
done
dir=$top/build-fuzz
[ -e "$dir/build.ninja" ] || CC=clang-14 step "configuring the fuzz targets" "$cache/log/fuzz-configure" \
	meson setup "$dir" "$top" -Dfuzz=true -Dtests=disabled -Db_lundef=false -Db_sanitize=address,undefined
step "building the fuzz targets" "$cache/log/fuzz-build" ninja -C "$dir"

failed=0 ran=0
for program in "$dir"/tests/fuzz_*; do
	if [ ! -f "$program" ] || [ ! -x "$program" ]; then continue; fi
	name=$(basename "$program" | sed 's/^fuzz_//')
	[ -z "$target" ] || [ "$name" = "$target" ] || continue
	ran=$((ran + 1))
	mkdir -p "$cache/fuzz/$name" "$results/fuzz"
	seeds=()
	[ ! -d "$top/tests/fuzz/corpus/$name" ] || seeds=("$top/tests/fuzz/corpus/$name")
	say "fuzz $name, $seconds s"
	UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 "$program" -max_total_time="$seconds" -print_final_stats=1 \
		-timeout=10 -artifact_prefix="$results/fuzz/$name-" "$cache/fuzz/$name" "${seeds[@]}" \
		>"$results/fuzz/$name.log" 2>&1 || {
		failed=$((failed + 1))
		tail -n 40 "$results/fuzz/$name.log" >&2
		say "fuzz $name failed; its input is in $results/fuzz"
	}
	sed -n 's/^stat::number_of_executed_units: */dev:   executions: /p' "$results/fuzz/$name.log" >&2
done
[ "$ran" -gt 0 ] || die "there is no fuzz target \"$target\""
say "$ran fuzz targets, $failed failed"
[ "$failed" -eq 0 ]
