#!/bin/bash
# ./dev test: builds, then everything that is tested. The last line is the sum: "N passed, N failed".
# With words it runs only those parts: unit, sanitizers, lint, lab; "lab NAME…" runs those files of tests/lab/t/.
set -eu
. "$(dirname "$0")/common.sh"
mkdir -p "$results"
passed=0 failed=0

count() { # PASSED FAILED
	passed=$((passed + $1))
	failed=$((failed + $2))
}

# Adds up what meson says of a test run.
count_meson() { # LOG
	local good bad
	good=$(awk '/^(Ok|Expected Fail):/ { n += $NF } END { print n + 0 }' "$1")
	bad=$(awk '/^(Fail|Unexpected Pass|Timeout):/ { n += $NF } END { print n + 0 }' "$1")
	[ $((good + bad)) -gt 0 ] || bad=1
	count "$good" "$bad"
	sed -n '/^ *[0-9]*\/[0-9]* .*\(FAIL\|TIMEOUT\|ERROR\)/p' "$1" >&2
	say "$(basename "$1" .log): $good passed, $bad failed; details in $1"
}

meson_tests() { # NAME BUILD-DIR ARGUMENT...
	local name=$1 dir=$2
	shift 2
	step "$name tests" "$results/$name.log" meson test -C "$dir" --print-errorlogs "$@" || true
	count_meson "$results/$name.log"
}

# Adds up the last line of a part that counts its checks itself.
counted() { # COMMAND...
	local last words
	last=$("$@" | tail -n 1) || true
	case $last in
	*' passed, '*' failed') read -r -a words <<<"$last"; count "${words[0]}" "${words[2]}" ;;
	*) count 0 1 ;;
	esac
}

unit() { meson_tests unit "$build"; }

sanitizers() {
	local dir=$top/build-asan
	[ -e "$dir/build.ninja" ] || step "configuring with sanitizers" "$results/asan-configure.log" \
		meson setup "$dir" "$top" -Db_sanitize=address,undefined -Db_lundef=false
	if step "building with sanitizers" "$results/asan-build.log" ninja -C "$dir"; then
		meson_tests sanitizers "$dir" --suite unit --suite fuzz --timeout-multiplier 4
	else
		count 0 1
	fi
}

bash "$lab_dir/build.sh"
if [ $# -eq 0 ]; then
	unit
	sanitizers
	counted bash "$lab_dir/lint.sh"
	counted bash "$lab_dir/run-tests.sh"
elif [ "$1" = lab ]; then
	shift
	counted bash "$lab_dir/run-tests.sh" "$@"
else
	for part in "$@"; do
		case $part in
		unit | sanitizers) "$part" ;;
		lint) counted bash "$lab_dir/lint.sh" ;;
		*) die "there is no part \"$part\" of the tests: unit sanitizers lint lab" ;;
		esac
	done
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
